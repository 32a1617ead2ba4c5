package remotepipelines

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/invar-otel/invar/internal/config/yamltext"
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
	Pipeline string // its name in the set; several with commas where it is one of these
	Key      string // the key path at fault, "exporters::otlp_http::endpoint", or ""
	Stage    Stage
	Err      error
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
	return fmt.Sprintf("pipelines::%s: %s: %s", f.Pipeline, f.Stage, text)
}

// Unwrap returns what happened.
func (f *Failure) Unwrap() error { return f.Err }

// fail makes a Failure of err, with the key that the error speaks of.
func fail(pipeline string, stage Stage, err error) *Failure {
	key := keyIn(err.Error())
	var keyed *keyedError
	if errors.As(err, &keyed) {
		key = keyed.key
	}
	return &Failure{Pipeline: pipeline, Key: key, Stage: stage, Err: err}
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

// decoding is what confmap begins each level of its errors with.
const decoding = "decoding failed due to the following error(s):\n\n"

var (
	// A key path that the collector's validation, or ours, puts in front.
	leadingKey = regexp.MustCompile(`(?m)^(?:[a-z ]*: )*((?:receivers|processors|exporters|connectors|extensions|service)(?:::[^\s:]+)*)(?:::? |:$|$)`)
	// What the service says of a component that it cannot make or start.
	componentMade    = regexp.MustCompile(`failed to (?:create|start) "([^"]+)" (receiver|processor|exporter|connector)`)
	extensionMade    = regexp.MustCompile(`(?:failed to create extension|factory for) "([^"]+)"`)
	connectorBetween = regexp.MustCompile(`connector "([^"]+)"`)
	// What confmap says of a value, or of keys that are not there.
	decodedValue = regexp.MustCompile(`(?m)^(?:\* )?'([^']*)' (?:has invalid keys: ([^\s,]+))?`)
)

// keyIn returns the key path that an error of the collector is about, "" if
// there is none in it.
func keyIn(text string) string {
	if m := leadingKey.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := componentMade.FindStringSubmatch(text); m != nil {
		return m[2] + "s::" + m[1]
	}
	if m := extensionMade.FindStringSubmatch(text); m != nil {
		return "extensions::" + m[1]
	}
	if m := connectorBetween.FindStringSubmatch(text); m != nil {
		return "connectors::" + m[1]
	}
	return ""
}

// decodedKey returns the key path below a component's that a decoding error is
// about: of the first error, each level names a part of it.
func decodedKey(text string, config any) string {
	root := typeName(config)
	var path []string
	for {
		m := decodedValue.FindStringSubmatchIndex(text)
		if m == nil {
			break
		}
		if name := keyPath(strings.TrimPrefix(text[m[2]:m[3]], root)); name != "" {
			path = append(path, name)
		}
		if m[4] >= 0 {
			path = append(path, text[m[4]:m[5]])
			break
		}
		rest := text[m[1]:]
		next := strings.Index(rest, decoding)
		if next < 0 || strings.Contains(rest[:next], "\n") {
			break // the next level would be another error's
		}
		text = rest[next:]
	}
	return strings.Join(path, "::")
}

// typeName is what confmap calls the whole of what is decoded into config.
func typeName(config any) string { return strings.TrimPrefix(fmt.Sprintf("%T", config), "*") }

// keyPath makes a key path of a name of confmap's, "a.b[c.d].e".
func keyPath(name string) string {
	var b strings.Builder
	within := false // brackets
	for _, c := range name {
		switch {
		case c == ']' && within:
			within = false
		case c == '[', c == '.' && !within:
			within = within || c == '['
			if b.Len() > 0 {
				b.WriteString("::")
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

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
