package remotepipelines

import (
	"errors"

	"github.com/invar-otel/invar/internal/config/redaction"
)

// redacted returns err without the known secrets of a pipeline, because errors go to
// a server. It returns nil if err is nil. A *Failure stays a *Failure.
func redacted(err error, secrets *redaction.Secrets) error {
	var failure *Failure
	if !errors.As(err, &failure) {
		return secrets.Error(err)
	}
	f := *failure
	f.Err = secrets.Error(failure.Err)
	return &f
}
