package translate

import (
	"errors"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

const (
	bucketSuffix  = "_bucket"
	sumSuffix     = "_sum"
	countSuffix   = "_count"
	totalSuffix   = "_total"
	infoSuffix    = "_info"
	createdSuffix = "_created"
)

// familyKey is what a name is translated from. Scraped names are not translated.
type familyKey struct {
	name, unit string
	typ        otlptranslator.MetricType
	scraped    bool
}

// family is what a name is translated to.
type family struct {
	name, bucket, sum, count string
	unit                     string
}

func newFamily(name, unit string) *family {
	return &family{name: name, bucket: name + bucketSuffix, sum: name + sumSuffix, count: name + countSuffix, unit: unit}
}

// Names are cached: there are few, and a translation costs more than a lookup. A
// client cannot fill the cache beyond maxCached names of maxCachedName bytes.
const (
	maxCached     = 4096
	maxCachedName = 256
)

var errNoName = errors.New("the metric has no name")

// familyOf translates the name of a metric.
func (w *worker) familyOf(m pmetric.Metric) (*family, error) {
	key := familyKey{name: m.Name(), unit: m.Unit(), typ: namingTypeOf(m)}
	if f, ok := w.families[key]; ok {
		return f, nil
	}
	if key.name == "" {
		return nil, errNoName
	}
	key.name, key.unit = valid(key.name), valid(key.unit)
	name, err := w.metricNamer.Build(otlptranslator.Metric{Name: key.name, Unit: key.unit, Type: key.typ})
	if err != nil {
		return nil, err
	}
	unitNamer := otlptranslator.UnitNamer{}
	return w.remember(key, newFamily(name, unitNamer.Build(key.unit))), nil
}

func (w *worker) remember(key familyKey, f *family) *family {
	if len(key.name)+len(key.unit) <= maxCachedName {
		if len(w.families) >= maxCached {
			clear(w.families)
		}
		w.families[key] = f
	}
	return f
}

// namingTypeOf returns the type of a metric as far as its name depends on it.
func namingTypeOf(m pmetric.Metric) otlptranslator.MetricType {
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		return otlptranslator.MetricTypeGauge
	case pmetric.MetricTypeSum:
		if m.Sum().IsMonotonic() {
			return otlptranslator.MetricTypeMonotonicCounter
		}
		return otlptranslator.MetricTypeNonMonotonicCounter
	case pmetric.MetricTypeSummary:
		return otlptranslator.MetricTypeSummary
	case pmetric.MetricTypeHistogram:
		return otlptranslator.MetricTypeHistogram
	case pmetric.MetricTypeExponentialHistogram:
		return otlptranslator.MetricTypeExponentialHistogram
	}
	return otlptranslator.MetricTypeUnknown
}

// labelName translates the name of an attribute.
func (w *worker) labelName(attribute string) (string, error) {
	if name, ok := w.labelNames[attribute]; ok {
		return name, nil
	}
	name, err := w.labelNamer.Build(valid(attribute))
	if err != nil {
		return "", err
	}
	if len(attribute) <= maxCachedName {
		if len(w.labelNames) >= maxCached {
			clear(w.labelNames)
		}
		w.labelNames[strings.Clone(attribute)] = name
	}
	return name, nil
}

func isLabelName(name string) bool { return model.LegacyValidation.IsValidLabelName(name) }
