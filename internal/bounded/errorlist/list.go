// Package errorlist keeps errors whose number the input decides: of the items of
// a request, the tenants of a batch, the files of a directory. [errors.Join]
// keeps and prints every one of them, and joined one by one they nest as deep as
// they are many, which makes printing them quadratic and can overflow the stack.
package errorlist

import (
	"fmt"
	"strings"
)

// How much of a list is kept and printed.
const (
	maxDistinct = 10
	maxText     = 512 // bytes of one error
)

// List collects errors. It keeps the first ten that read differently, counts the
// others, and prints at most 512 bytes of each, so that neither its memory nor
// its text grows with the input. The zero value is an empty list; it is not safe
// for concurrent use.
type List struct {
	kept []counted
	n    int
}

type counted struct {
	err   error
	text  string
	times int
}

// Add appends an error; nil is none.
func (l *List) Add(err error) {
	if err == nil {
		return
	}
	l.n++
	text := shorten(err.Error())
	for i := range l.kept {
		if l.kept[i].text == text {
			l.kept[i].times++
			return
		}
	}
	if len(l.kept) < maxDistinct {
		l.kept = append(l.kept, counted{err, text, 1})
	}
}

// Len is how many errors were added.
func (l *List) Len() int { return l.n }

// Err returns the errors as one, or nil if there are none. It unwraps to those
// that are kept, and prints a line for each, and how many are not kept. It does
// not change with what is added later.
func (l *List) Err() error {
	if l.n == 0 {
		return nil
	}
	if l.n == 1 && l.kept[0].text == l.kept[0].err.Error() {
		return l.kept[0].err
	}
	e := &listError{}
	var lines []string
	rest := l.n
	for _, c := range l.kept {
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

// Unwrap is for [errors.Is] and [errors.As].
func (e *listError) Unwrap() []error { return e.errs }

// shorten cuts a text between runes. What it returns does not keep the whole text
// in memory.
func shorten(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(strings.Clone(text[:maxText]), "") + "…"
}
