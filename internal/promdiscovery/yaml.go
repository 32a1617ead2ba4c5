package promdiscovery

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"

	"github.com/invar-otel/invar/internal/config/yamltext"
)

// Decode decodes a part of a configuration, from yamltext.Raw, to one of Prometheus' types with
// Prometheus' YAML rules. An unknown key is an error.
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

// Encode is the inverse of Decode, except that secrets become <secret>.
func Encode(v any) (map[string]any, error) {
	out, err := yaml.Marshal(v)
	if err != nil {
		return nil, err
	}
	var m map[string]any
	err = yaml.Unmarshal(out, &m)
	return m, err
}

// yamlPosition matches positions in the YAML that Decode has generated and users do not know.
var yamlPosition = regexp.MustCompile(`(?m)^(yaml: )?(unmarshal errors:)?\s*(line \d+: )?`)

// yamlError keeps the text of an error without positions.
func yamlError(err error) error {
	lines := strings.Split(yamlPosition.ReplaceAllString(err.Error(), ""), "\n")
	return errors.New(strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "; "))
}
