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

// families are those declared so far in a scrape. Declarations of several may
// be mixed, and a family may be declared again after samples of others.
type families struct {
	last   *family // samples that follow may be its
	byName map[string]*family
}

// declare returns the family with this name, for another piece of metadata.
func (f *families) declare(name []byte) *family {
	if f.last != nil && f.last.name == string(name) {
		return f.last
	}
	x := f.byName[string(name)]
	if x == nil {
		x = &family{name: string(name), Metadata: metadata.Metadata{Type: model.MetricTypeUnknown}}
		if f.byName == nil {
			f.byName = make(map[string]*family)
		}
		f.byName[x.name] = x
	}
	f.last = x
	return x
}

// suffixes are what a type adds to the family's name for its samples.
var suffixes = map[model.MetricType][]string{
	model.MetricTypeCounter:        {"_total"},
	model.MetricTypeHistogram:      {"_bucket", "_sum", "_count"},
	model.MetricTypeGaugeHistogram: {"_bucket", "_gsum", "_gcount"},
	model.MetricTypeSummary:        {"_sum", "_count"},
	model.MetricTypeInfo:           {"_info"},
}

// has reports whether a sample's name belongs to the family.
func (f *family) has(name string) bool {
	if !strings.HasPrefix(name, f.name) {
		return false
	}
	base := f.name
	switch f.Type {
	case model.MetricTypeCounter: // the text format declares it with the suffix
		base = strings.TrimSuffix(base, "_total")
	case model.MetricTypeInfo:
		base = strings.TrimSuffix(base, "_info")
	}
	for _, s := range suffixes[f.Type] {
		if rest, ok := strings.CutSuffix(name, s); ok {
			return rest == base
		}
	}
	return name == base
}
