package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"os"
	"slices"
	"strings"
	"text/template"

	"go.yaml.in/yaml/v3"
)

// metadata is the part of mdatagen's metadata.yaml that we use.
type metadata struct {
	Type   string `yaml:"type"`
	Status struct {
		Class     string              `yaml:"class"`
		Stability map[string][]string `yaml:"stability"` // level to signals
	} `yaml:"status"`
}

// levels are the stability levels, most mature first.
var levels = []string{"stable", "beta", "alpha", "development", "deprecated", "unmaintained"}

// signals are what a stability can be stated for, in the order of the tables.
var signals = []string{"metrics", "logs", "traces", "profiles", "extension"}

func readMetadata(path string) (*metadata, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := parseMetadata(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMetadata(content []byte) (*metadata, error) {
	m := new(metadata)
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(m); err != nil {
		return nil, err
	}
	if m.Type == "" || m.Status.Class == "" || len(m.Status.Stability) == 0 {
		return nil, errors.New("type, status::class and status::stability must be set")
	}
	for level, of := range m.Status.Stability {
		if !slices.Contains(levels, level) {
			return nil, fmt.Errorf("status::stability: %q is not a level; use one of %s", level, strings.Join(levels, ", "))
		}
		for _, signal := range of {
			if !slices.Contains(signals, signal) {
				return nil, fmt.Errorf("status::stability::%s: %q is not a signal; use one of %s", level, signal, strings.Join(signals, ", "))
			}
		}
	}
	return m, nil
}

// signalLevel is a signal and its stability.
type signalLevel struct{ Signal, Level string }

func (m *metadata) signalLevels() []signalLevel {
	var out []signalLevel
	for _, signal := range signals {
		for _, level := range levels {
			if slices.Contains(m.Status.Stability[level], signal) {
				out = append(out, signalLevel{signal, level})
			}
		}
	}
	return out
}

var statusTemplate = template.Must(template.New("status").Funcs(template.FuncMap{"title": title}).Parse(
	"// Code generated from metadata.yaml by `make generate`. DO NOT EDIT.\n" + `
// Package metadata holds what metadata.yaml says about the component.
package metadata

import "go.opentelemetry.io/collector/component"

var (
	// Type is the component's type, the name users write in a configuration.
	Type = component.MustNewType("{{.Type}}")
	// ScopeName is the instrumentation scope of the component's own telemetry.
	ScopeName = "{{.ImportPath}}"
)

// Stability of the component per signal.
const (
{{- range .Levels}}
	{{title .Signal}}Stability = component.StabilityLevel{{title .Level}}
{{- end}}
)
`))

// status renders generated_status.go.
func (m *metadata) status(importPath string) ([]byte, error) {
	var b bytes.Buffer
	err := statusTemplate.Execute(&b, struct {
		Type, ImportPath string
		Levels           []signalLevel
	}{m.Type, importPath, m.signalLevels()})
	if err != nil {
		return nil, err
	}
	return format.Source(b.Bytes())
}

const (
	readmeBegin = "<!-- status, generated from metadata.yaml -->\n"
	readmeEnd   = "<!-- end of status -->\n"
)

// readme renders README.md, whose text around the status table is kept.
func (m *metadata) readme(current []byte) ([]byte, error) {
	before, rest, ok := strings.Cut(string(current), readmeBegin)
	_, after, ok2 := strings.Cut(rest, readmeEnd)
	if !ok || !ok2 {
		return nil, fmt.Errorf("must hold the lines %q and %q, between which the status goes", readmeBegin, readmeEnd)
	}
	var b strings.Builder
	b.WriteString(before + readmeBegin)
	fmt.Fprintf(&b, "| %s `%s` | stability |\n|---|---|\n", m.Status.Class, m.Type)
	for _, sl := range m.signalLevels() {
		fmt.Fprintf(&b, "| %s | %s |\n", sl.Signal, sl.Level)
	}
	b.WriteString(readmeEnd + after)
	return []byte(b.String()), nil
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
