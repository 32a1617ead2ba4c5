package remotepipelines

import (
	"errors"

	"github.com/invar-otel/invar/internal/config/redaction"
)

// redacted returns err without the secrets that are known of a pipeline, nil if
// err is nil: errors go to a server. A *Failure stays one.
func redacted(err error, secrets *redaction.Secrets) error {
	var failure *Failure
	if !errors.As(err, &failure) {
		return secrets.Error(err)
	}
	f := *failure
	f.Err = secrets.Error(failure.Err)
	return &f
}
