package promdiscovery

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"

	"github.com/invar-otel/invar/internal/config/yamltext"
)

// Decode reads a part of a configuration into one of Prometheus' types, by the
// rules of its YAML: a key that into does not have is an error. The part is one
// of yamltext.Raw.
func Decode(part map[string]any, into any) error {
	source, err := yamltext.Marshal(part)
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(source, into); err != nil {
		return yamlError(err)
	}
	return nil
}

// Encode is what Decode would read into v, with <secret> for secrets.
func Encode(v any) (map[string]any, error) {
	out, err := yaml.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	err = yaml.Unmarshal(out, &m)
	return m, err
}

// yamlPlace is a place in the YAML that Decode has made, and tells a user
// nothing.
var yamlPlace = regexp.MustCompile(`(?m)^(yaml: )?(unmarshal errors:)?\s*(line \d+: )?`)

// yamlError keeps the words of an error and drops its places.
func yamlError(err error) error {
	lines := strings.Split(yamlPlace.ReplaceAllString(err.Error(), ""), "\n")
	return errors.New(strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "; "))
}
