package remotepipelines

import (
	"errors"

	"github.com/invar-otel/invar/internal/redaction"
)

// redactedError is an error whose text has no secrets: it goes to a server.
type redactedError struct {
	err  error
	text string
}

// redacted returns err without the secrets that are known, nil if err is nil. A
// *Failure stays one.
func redacted(err error, secrets *redaction.Secrets) error {
	if err == nil {
		return nil
	}
	var failure *Failure
	if errors.As(err, &failure) {
		f := *failure
		f.Err = &redactedError{failure.Err, secrets.Text(failure.Err.Error())}
		return &f
	}
	return &redactedError{err, secrets.Text(err.Error())}
}

// Error implements error.
func (e *redactedError) Error() string { return e.text }

// Unwrap returns the error with its secrets.
func (e *redactedError) Unwrap() error { return e.err }
