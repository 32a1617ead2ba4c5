package redaction

// Error returns an error that wraps err and whose text is without secrets. It
// returns nil if err is nil.
func (s *Secrets) Error(err error) error {
	if err == nil {
		return nil
	}
	return &redactedError{err, s.Text(err.Error())}
}

type redactedError struct {
	err  error
	text string
}

// Error implements error.
func (e *redactedError) Error() string { return e.text }

// Unwrap returns the original error, whose text may contain secrets.
func (e *redactedError) Unwrap() error { return e.err }
