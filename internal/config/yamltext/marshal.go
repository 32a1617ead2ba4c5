package yamltext

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/confmap/xconfmap"
	yamlv2 "go.yaml.in/yaml/v2"
	"go.yaml.in/yaml/v3"
)

// Text returns a part of Raw in which values are replaced by their texts.
func Text(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = Text(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = Text(value)
		}
		return out
	}
	expanded, ok := v.(xconfmap.ExpandedValue)
	if !ok {
		return v
	}
	text := expanded.Original
	if expanded.Value == nil {
		return nil
	}
	var doc yaml.Node // strips spaces and comments
	if yaml.Unmarshal([]byte(text), &doc) == nil && len(doc.Content) == 1 && doc.Content[0].Kind == yaml.ScalarNode {
		text = doc.Content[0].Value
	}
	return text
}

// Marshal writes a part of a configuration, from Raw or not, as YAML for
// Prometheus. Prometheus sees the text that the user wrote, both in string fields
// and in others. A value whose text is not known is an error that says to quote
// it.
func Marshal(v any) ([]byte, error) {
	var w writer
	n, err := w.node(Text(v))
	if err != nil {
		return nil, err
	}
	return yaml.Marshal(n)
}

// floats are the keys of Prometheus' configuration whose values are floats.
var floats = []string{"native_histogram_min_bucket_factor", "sampling_fraction"}

// writer builds the YAML of a value.
type writer struct {
	path []string // of the current value
}

// below is node for the value at a key of the current one.
func (w *writer) below(key string, v any) (*yaml.Node, error) {
	w.path = append(w.path, key)
	n, err := w.node(v)
	w.path = w.path[:len(w.path)-1]
	return n, err
}

func (w *writer) node(v any) (*yaml.Node, error) {
	switch v := v.(type) {
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle} // block style grows with the square of the depth
		for _, key := range slices.Sorted(maps.Keys(v)) {
			value, err := w.below(key, v[key])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, text(key), value)
		}
		return n, nil
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for i := range v {
			value, err := w.below(strconv.Itoa(i), v[i])
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, value)
		}
		return n, nil
	case string:
		return text(v), nil
	case nil:
		return plain("null"), nil
	case float64:
		if len(w.path) > 0 && slices.Contains(floats, w.path[len(w.path)-1]) {
			return plain(strconv.FormatFloat(v, 'g', -1, 64)), nil
		}
		return nil, w.unknown(strconv.FormatFloat(v, 'g', -1, 64))
	case time.Time:
		return nil, w.unknown(v.Format(time.RFC3339Nano))
	}
	n := new(yaml.Node)
	if err := n.Encode(v); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(w.path, "::"), err)
	}
	return n, nil
}

func (w *writer) unknown(value string) error {
	return fmt.Errorf("%s: was read as %s, which may not be what is written; quote it", strings.Join(w.path, "::"), value)
}

// plain returns a scalar without quotes.
func plain(text string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: text} }

// text returns a scalar that Prometheus reads as if the user had not quoted it:
// "100" also fits into a number field.
func text(s string) *yaml.Node {
	switch {
	case !utf8.ValidString(s):
		n := new(yaml.Node)
		n.SetString(s) // as !!binary
		return n
	case isNumberOrBool(s):
		return plain(s)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: s}
}

// mayBeNumber rules out most texts before they reach the parser, and all texts
// that have a structural meaning in YAML.
var mayBeNumber = regexp.MustCompile(`^(?:[-+.0-9][-+._0-9A-Za-z]{0,63}|(?i:y|n|yes|no|on|off|true|false))$`)

// isNumberOrBool reports whether Prometheus' YAML reads an unquoted text as a
// number or a boolean.
func isNumberOrBool(s string) bool {
	if !mayBeNumber.MatchString(s) {
		return false
	}
	var v any
	if yamlv2.Unmarshal([]byte(s), &v) != nil {
		return false
	}
	switch v.(type) {
	case bool, int, int64, uint64, float64:
		return true
	}
	return false
}
