package yamltext

import (
	"regexp"
)

// notString is what the collector says of a value for a field of a string that
// YAML takes for something else.
var notString = regexp.MustCompile(`expected type '(?:string|configopaque\.String)', got unconvertible type '(?:u?int(?:32|64)?|float(?:32|64)|bool|time\.Time)'`)

// Explain adds to an error about a configuration what to do if a number, a
// boolean or a date is written without quotes where a string belongs. Other
// errors are returned as they are.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	before := err.Error()
	after := notString.ReplaceAllString(before, `$0 (quote it, like "1")`)
	if after == before {
		return err
	}
	return &explained{err, after}
}

type explained struct {
	error
	text string
}

// Error implements error.
func (e *explained) Error() string { return e.text }

// Unwrap returns the error as it was.
func (e *explained) Unwrap() error { return e.error }
