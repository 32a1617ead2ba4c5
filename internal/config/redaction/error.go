package redaction

// Error returns an error whose text is without secrets, nil if err is nil. What it
// wraps is err itself.
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

// Unwrap returns the error with its secrets.
func (e *redactedError) Unwrap() error { return e.err }
