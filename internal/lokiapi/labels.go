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

// Label is a name and its value.
type Label struct{ Name, Value string }

// AppendLabels appends the text of a stream's labels, {a="b", c="d"}. They have
// to be sorted by name and to have names that Loki takes. What is not UTF-8 in a
// value becomes a question mark, as does U+FFFD: Loki's parser takes either for
// an error.
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

// LabelName is the name that Loki gives to an attribute: what is neither letter,
// digit nor underscore becomes an underscore, a leading digit gets the prefix
// key_. A name of which nothing is left becomes "key". A name that can be one of
// a label stays as it is.
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

// ValidLabelName tells whether Loki takes the name as it is.
func ValidLabelName(name string) bool { return model.LegacyValidation.IsValidLabelName(name) }

var labelParser = parser.NewParser(parser.Options{})

// ParseLabels reads the text of a stream's labels. The result is sorted by name;
// labels without a value are none, as in Loki.
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

// maxLabelsSize is how long the text of a stream's labels may be, in bytes. Loki
// reads up to 16 MiB, but by default takes no more than 15 labels of 3 KiB.
const maxLabelsSize = 64 << 10
