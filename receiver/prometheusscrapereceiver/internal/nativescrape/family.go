package nativescrape

import (
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
)

// family is a metric family with its declared metadata.
type family struct {
	name     string
	metadata metadata.Metadata
}

// families holds the families declared so far in a scrape. Declarations of several
// families may be mixed, and a family may be declared again after samples of others.
type families struct {
	last   *family // the one declared last; samples that follow may belong to it
	byName map[string]*family
}

// declare returns the family with this name, for the caller to set its metadata,
// and makes it the last.
func (f *families) declare(name []byte) *family {
	if f.last != nil && f.last.name == string(name) {
		return f.last
	}
	declared := f.byName[string(name)]
	if declared == nil {
		declared = &family{name: string(name), metadata: metadata.Metadata{Type: model.MetricTypeUnknown}}
		if f.byName == nil {
			f.byName = make(map[string]*family)
		}
		f.byName[declared.name] = declared
	}
	f.last = declared
	return declared
}

// suffixes lists what each type appends to the family's name for its samples.
var suffixes = map[model.MetricType][]string{
	model.MetricTypeCounter:        {"_total"},
	model.MetricTypeHistogram:      {"_bucket", "_sum", "_count"},
	model.MetricTypeGaugeHistogram: {"_bucket", "_gsum", "_gcount"},
	model.MetricTypeSummary:        {"_sum", "_count"},
	model.MetricTypeInfo:           {"_info"},
}

// owns reports whether a sample with this name belongs to the family.
func (f *family) owns(name string) bool {
	if !strings.HasPrefix(name, f.name) {
		return false
	}
	base := f.name
	switch f.metadata.Type {
	case model.MetricTypeCounter: // the text format declares it with the suffix
		base = strings.TrimSuffix(base, "_total")
	case model.MetricTypeInfo:
		base = strings.TrimSuffix(base, "_info")
	}
	for _, s := range suffixes[f.metadata.Type] {
		if rest, ok := strings.CutSuffix(name, s); ok {
			return rest == base
		}
	}
	return name == base
}
