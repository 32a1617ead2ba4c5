package pyroscopereceiver

import "strings"

// maxAnswer bounds an error in an answer, in bytes.
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

// Unwrap returns the original error.
func (b bounded) Unwrap() error { return b.error }
