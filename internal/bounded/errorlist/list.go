// Package errorlist collects errors whose number depends on the input: one for
// each item of a request, tenant of a batch, or file of a directory. [errors.Join]
// keeps and prints all of them. Errors that are joined one by one also nest, so
// that printing them takes quadratic time and can overflow the stack.
package errorlist

import (
	"fmt"
	"strings"
)

// Limits of what a list keeps and prints.
const (
	maxDistinct = 10
	maxText     = 512 // bytes of one error
)

// List collects errors. It keeps the first ten with different texts, counts the
// others, and prints at most 512 bytes of each: neither its memory nor its text
// grows with the input. The zero value is an empty list. A List is not safe for
// concurrent use.
type List struct {
	distinct []counted
	n        int
}

type counted struct {
	err   error
	text  string
	times int
}

// Add adds an error. It ignores nil.
func (l *List) Add(err error) {
	if err == nil {
		return
	}
	l.n++
	text := shorten(err.Error())
	for i := range l.distinct {
		if l.distinct[i].text == text {
			l.distinct[i].times++
			return
		}
	}
	if len(l.distinct) < maxDistinct {
		l.distinct = append(l.distinct, counted{err, text, 1})
	}
}

// Len returns the number of errors that were added.
func (l *List) Len() int { return l.n }

// Err returns the errors as one, or nil if there are none. The result unwraps to
// the errors that are kept, and prints a line for each and the number of the
// others. Errors that are added later do not change it.
func (l *List) Err() error {
	if l.n == 0 {
		return nil
	}
	if l.n == 1 && l.distinct[0].text == l.distinct[0].err.Error() {
		return l.distinct[0].err
	}
	e := &listError{}
	var lines []string
	rest := l.n
	for _, c := range l.distinct {
		e.errs = append(e.errs, c.err)
		line := c.text
		if c.times > 1 {
			line = fmt.Sprintf("%s (%d times)", line, c.times)
		}
		lines = append(lines, line)
		rest -= c.times
	}
	if rest > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", rest))
	}
	e.text = strings.Join(lines, "\n")
	return e
}

type listError struct {
	errs []error
	text string
}

func (e *listError) Error() string { return e.text }

// Unwrap supports [errors.Is] and [errors.As].
func (e *listError) Unwrap() []error { return e.errs }

// shorten truncates a text between runes. The result does not keep the whole text
// in memory.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(strings.Clone(text[:maxText]), "") + "…"
}
