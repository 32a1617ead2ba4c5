package lokiapi

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Label is a label of a stream.
type Label struct{ Name, Value string }

// AppendLabels appends the labels of a stream as text, {a="b", c="d"}. They have to
// be sorted by name, and the names have to be valid. Invalid UTF-8 in a value
// becomes a question mark, and so does U+FFFD: Loki's parser refuses both.
func AppendLabels(dst []byte, labels []Label) []byte {
	dst = append(dst, '{')
	for i, l := range labels {
		if i > 0 {
			dst = append(dst, ',', ' ')
		}
		dst = append(dst, l.Name...)
		dst = append(dst, '=')
		dst = strconv.AppendQuote(dst, labelValue(l.Value))
	}
	return append(dst, '}')
}

const replacement = string(utf8.RuneError)

func labelValue(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, replacement) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), replacement, "?")
}

// LabelName returns the name that Loki gives to an attribute. A valid name stays as
// it is. Otherwise characters other than letters, digits and underscores become
// underscores, and a leading digit gets the prefix key_. A name without any letter
// or digit becomes "key".
func LabelName(attribute string) string {
	if ValidLabelName(attribute) {
		return attribute
	}
	var namer otlptranslator.LabelNamer
	name, err := namer.Build(strings.ToValidUTF8(attribute, "_"))
	if err != nil {
		return "key"
	}
	return name
}

// ValidLabelName reports whether Loki accepts the name as it is.
func ValidLabelName(name string) bool { return model.LegacyValidation.IsValidLabelName(name) }

var labelParser = parser.NewParser(parser.Options{})

// ParseLabels parses the labels of a stream. The result is sorted by name, without
// labels that have no value, as in Loki.
func ParseLabels(text string) (labels.Labels, error) {
	if len(text) > maxLabelsSize {
		return labels.EmptyLabels(), fmt.Errorf("stream labels of %d bytes exceed the limit of %d", len(text), maxLabelsSize)
	}
	ls, err := labelParser.ParseMetric(text)
	if err != nil {
		return ls, fmt.Errorf("couldn't parse labels: %w", err)
	}
	if name, twice := ls.HasDuplicateLabelNames(); twice {
		return ls, fmt.Errorf("stream '%s' has duplicate label name: '%s'", text, name)
	}
	return ls.WithoutEmpty(), nil
}

// maxLabelsSize is the limit of the labels of a stream as text, in bytes. Loki
// parses up to 16 MiB, but by default accepts no more than 15 labels of 3 KiB.
const maxLabelsSize = 64 << 10
