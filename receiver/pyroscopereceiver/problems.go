package pyroscopereceiver

import (
	"fmt"
	"strings"
)

// Bounds of what a client is told, however much was wrong.
const (
	maxProblems = 5
	maxAnswer   = 2048 // bytes
)

// problems are what is wrong with a request: the first few, and how many there are.
// It is an error.
type problems struct {
	first []error
	count int
}

func (p *problems) add(err error) {
	if p.count++; len(p.first) < maxProblems {
		p.first = append(p.first, err)
	}
}

// errorOrNil is p, or nil if nothing is wrong.
func (p *problems) errorOrNil() error {
	if p.count == 0 {
		return nil
	}
	return p
}

// Error implements error.
func (p *problems) Error() string {
	lines := make([]string, 0, len(p.first)+1)
	for _, err := range p.first {
		lines = append(lines, err.Error())
	}
	if more := p.count - len(p.first); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the first errors.
func (p *problems) Unwrap() []error { return p.first }

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
