package remotepipelines

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/invar-otel/invar/internal/config/yamltext"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Stage is the step at which a set failed.
type Stage string

// The stages, in order.
const (
	// StageParse is the reading of YAML and ${…}, and the validation: unknown
	// components and keys, and values that a component refuses.
	StageParse Stage = "parse"
	// StageRestrictions is the check of what a remote configuration may use.
	StageRestrictions Stage = "restrictions"
	// StageDryRun is the creation of the components, without a start.
	StageDryRun Stage = "dry_run"
	// StageStart is the start of the components.
	StageStart Stage = "start"
	// StageProbation is the time after the start.
	StageProbation Stage = "probation"
)

// Failure is why a pipeline of a set cannot run. The Failures of several pipelines
// are joined.
type Failure struct {
	Pipelines []string // its name in the set; several names if it is one of them
	Key       string   // the key path at fault, "exporters::otlp_http::endpoint", or ""
	Stage     Stage
	Err       error
}

// maxFailureText bounds the text of one error, in bytes: some errors contain the
// whole configuration.
const maxFailureText = 4096

// Error returns a text that begins with the pipeline and contains the key.
func (f *Failure) Error() string {
	text := tidy(f.Err.Error())
	if f.Key != "" && !strings.Contains(text, f.Key) {
		text = f.Key + ": " + text
	}
	return f.text(text)
}

// text returns the report of the failure in the form of remoteconf.FailureText.
func (f *Failure) text(reason string) string {
	return remoteconf.FailureText(f.Pipelines, string(f.Stage)+": "+reason)
}

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }

// fail returns a Failure with the key of a keyedError, or the key in the collector's
// text, or else what fallbackKey returns, which may be nil.
func fail(pipeline string, stage Stage, err error, fallbackKey func() string) *Failure {
	f := &Failure{Pipelines: []string{pipeline}, Stage: stage, Err: err}
	if keyed := new(keyedError); errors.As(err, &keyed) {
		f.Key = keyed.key
	} else {
		f.Key = keyIn(err.Error())
	}
	if f.Key == "" && fallbackKey != nil {
		f.Key = fallbackKey()
	}
	return f
}

// keyedError is an error at a known key path.
type keyedError struct {
	key string
	err error
}

// atKey returns a keyedError for a decoding error. Its key is that of the value at
// fault, below key. config is what was decoded into.
func atKey(key string, err error, config any) error {
	err = yamltext.Explain(err)
	if deeper := decodedKey(err.Error(), config); deeper != "" {
		key += "::" + deeper
	}
	text := strings.ReplaceAll(err.Error(), fmt.Sprintf("'%s' has", typeName(config)), "has")
	return &keyedError{key: key, err: errors.New(text)}
}

func (e *keyedError) Error() string { return e.key + ": " + e.err.Error() }
func (e *keyedError) Unwrap() error { return e.err }

// tidy shortens an error text and removes confmap's headings.
func tidy(text string) string {
	text = strings.ReplaceAll(text, decoding, "")
	text = strings.ReplaceAll(text, "'' has invalid keys", "has invalid keys")
	if len(text) > maxFailureText {
		end := maxFailureText
		for !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end] + "…"
	}
	return text
}
