package remotepipelines

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/invar-otel/invar/internal/config/yamltext"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Stage is how far a set came before it failed.
type Stage string

// The stages, in order.
const (
	// StageParse is reading: YAML, ${…}, unknown components and keys, values
	// that the components' own validation refuses.
	StageParse Stage = "parse"
	// StageRestrictions is what a remote configuration may not use here.
	StageRestrictions Stage = "restrictions"
	// StageDryRun is the creation of the components, without a start.
	StageDryRun Stage = "dry_run"
	// StageStart is the start of the components.
	StageStart Stage = "start"
	// StageProbation is the time after the start.
	StageProbation Stage = "probation"
)

// Failure tells why a pipeline of a set cannot run. Where several pipelines
// failed, their Failures are joined.
type Failure struct {
	Pipelines []string // its name in the set; several if it is one of these
	Key       string   // the key path at fault, "exporters::otlp_http::endpoint", or ""
	Stage     Stage
	Err       error
}

// maxFailureText bounds what is reported of one error, in bytes: some contain the
// configuration that they are about.
const maxFailureText = 4096

// Error begins with the pipeline and contains the key.
func (f *Failure) Error() string {
	text := tidy(f.Err.Error())
	if f.Key != "" && !strings.Contains(text, f.Key) {
		text = f.Key + ": " + text
	}
	return f.text(text)
}

// text returns what is said of the failure as remoteconf.FailedPipelines reads it.
func (f *Failure) text(reason string) string {
	return remoteconf.FailureText(f.Pipelines, string(f.Stage)+": "+reason)
}

// Unwrap returns what happened.
func (f *Failure) Unwrap() error { return f.Err }

// fail makes a Failure of an error. Its key is that of a keyedError, or what the
// collector's text says; if it says nothing, elsewhere is asked, which may be nil.
func fail(pipeline string, stage Stage, err error, elsewhere func() string) *Failure {
	f := &Failure{Pipelines: []string{pipeline}, Stage: stage, Err: err}
	if keyed := new(keyedError); errors.As(err, &keyed) {
		f.Key = keyed.key
	} else {
		f.Key = keyIn(err.Error())
	}
	if f.Key == "" && elsewhere != nil {
		f.Key = elsewhere()
	}
	return f
}

// keyedError is an error at a known key path.
type keyedError struct {
	key string
	err error
}

// atKey makes a keyedError of a decoding error, with what it says of keys below
// key. config is what was decoded into.
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

// tidy makes one short paragraph of an error text.
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
