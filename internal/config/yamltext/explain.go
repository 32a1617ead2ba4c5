package yamltext

import (
	"regexp"
)

// notString matches the collector's error about a value for a string field that
// YAML parsed as another type. It is the text of mapstructure, which has no type
// for this error; TestExplain uses the real one.
var notString = regexp.MustCompile(`expected type '(?:string|configopaque\.String)', got unconvertible type '(?:u?int(?:32|64)?|float(?:32|64)|bool|time\.Time)'`)

// Explain adds advice to an error about a configuration in which a number, a
// boolean or a date is written without quotes where a string belongs. It returns
// other errors unchanged.
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

// Unwrap returns the original error.
func (e *explained) Unwrap() error { return e.error }
