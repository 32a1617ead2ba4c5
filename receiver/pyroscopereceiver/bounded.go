package pyroscopereceiver

import "strings"

// maxAnswer is how much a client is told of what is wrong, in bytes.
const maxAnswer = 4096

// bounded is an error whose text has at most maxAnswer bytes.
type bounded struct{ error }

// Error implements error.
func (b bounded) Error() string {
	text := b.error.Error()
	if len(text) > maxAnswer {
		return strings.ToValidUTF8(text[:maxAnswer], "") + "…"
	}
	return text
}

// Unwrap returns the error as it is.
func (b bounded) Unwrap() error { return b.error }
