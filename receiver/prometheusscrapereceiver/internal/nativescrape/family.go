package nativescrape

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
)

// family is the metadata that the lines before a sample declare.
type family struct {
	name string
	metadata.Metadata
}

// declare returns the family with this name, for another piece of metadata.
func (f *family) declare(name []byte) *family {
	if f.name != string(name) {
		*f = family{name: string(name), Metadata: metadata.Metadata{Type: model.MetricTypeUnknown}}
	}
	return f
}

// suffixes are what a type adds to the family's name for its samples. The
// empty one stands for the name itself.
var suffixes = map[model.MetricType][]string{
	model.MetricTypeHistogram:      {"_bucket", "_sum", "_count", ""},
	model.MetricTypeGaugeHistogram: {"_bucket", "_gsum", "_gcount", ""},
	model.MetricTypeSummary:        {"_sum", "_count", ""},
}

// has reports whether a sample's name belongs to the family.
func (f *family) has(name string) bool {
	rest, ok := strings.CutPrefix(name, f.name)
	if !ok {
		return false
	}
	switch f.Type {
	case model.MetricTypeCounter:
		return rest == "" || rest == "_total"
	case model.MetricTypeInfo:
		return rest == "" || rest == "_info"
	}
	for _, s := range suffixes[f.Type] {
		if rest == s {
			return true
		}
	}
	return rest == ""
}
