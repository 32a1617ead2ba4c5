package nativescrape

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// maxAhead is how far in the future a sample's own timestamp may be.
const maxAhead = 10 * time.Minute

var (
	errSampleLimit = errors.New("sample limit exceeded")
	errBucketLimit = errors.New("histogram bucket limit exceeded")
)

// sampleLimit counts the samples of a scrape. Staleness markers of known series do
// not count.
type sampleLimit struct {
	count int
	max   int // 0 for no limit
}

// add counts a sample and reports whether it is within the limit.
func (l *sampleLimit) add(ref storage.SeriesRef, v float64) bool {
	if ref == 0 || !value.IsStaleNaN(v) {
		l.count++
	}
	return l.max == 0 || l.count <= l.max
}

// limitBuckets reduces the resolution of a native histogram until it is within
// native_histogram_bucket_limit and native_histogram_min_bucket_factor.
func (t *target) limitBuckets(e *entry) error {
	limit := int(t.cfg.NativeHistogramBucketLimit)
	switch {
	case e.h != nil:
		h := e.h
		return reduceResolution(limit, t.maxSchema, func() (int32, int) { return h.Schema, len(h.PositiveBuckets) + len(h.NegativeBuckets) }, h.ReduceResolution)
	case e.fh != nil:
		h := e.fh
		return reduceResolution(limit, t.maxSchema, func() (int32, int) { return h.Schema, len(h.PositiveBuckets) + len(h.NegativeBuckets) }, h.ReduceResolution)
	}
	return nil
}

func reduceResolution(limit int, maxSchema int32, size func() (schema int32, buckets int), reduce func(int32) error) error {
	if schema, _ := size(); maxSchema < histogram.ExponentialSchemaMax && histogram.IsExponentialSchemaReserved(schema) && schema > maxSchema {
		if err := reduce(maxSchema); err != nil {
			return err
		}
	}
	for limit > 0 {
		schema, buckets := size()
		if buckets <= limit {
			return nil
		}
		if !histogram.IsExponentialSchema(schema) || schema <= histogram.ExponentialSchemaMin {
			return errBucketLimit
		}
		if err := reduce(schema - 1); err != nil {
			return err
		}
	}
	return nil
}

// maxSchema returns the finest schema whose buckets grow by at least the factor.
func maxSchema(factor float64) int32 {
	if factor <= 1 {
		return histogram.ExponentialSchemaMax
	}
	schema := math.Floor(-math.Log2(math.Log2(factor)))
	return int32(min(max(schema, float64(histogram.ExponentialSchemaMin)), float64(histogram.ExponentialSchemaMax)))
}

// checkLabelLimits returns an error if a series exceeds label_limit,
// label_name_length_limit or label_value_length_limit. It fails the scrape.
func checkLabelLimits(cfg *promconfig.ScrapeConfig, ls labels.Labels) error {
	name := func() string { return ls.Get(model.MetricNameLabel) }
	if limit := int(cfg.LabelLimit); limit > 0 && ls.Len() > limit {
		return fmt.Errorf("label_limit exceeded (metric: %.50s, number of labels: %d, limit: %d)", name(), ls.Len(), limit)
	}
	nameLimit, valueLimit := int(cfg.LabelNameLengthLimit), int(cfg.LabelValueLengthLimit)
	if nameLimit == 0 && valueLimit == 0 {
		return nil
	}
	return ls.Validate(func(l labels.Label) error {
		if nameLimit > 0 && len(l.Name) > nameLimit {
			return fmt.Errorf("label_name_length_limit exceeded (metric: %.50s, label name: %.50s, length: %d, limit: %d)", name(), l.Name, len(l.Name), nameLimit)
		}
		if valueLimit > 0 && len(l.Value) > valueLimit {
			return fmt.Errorf("label_value_length_limit exceeded (metric: %.50s, label name: %.50s, value: %.50q, length: %d, limit: %d)", name(), l.Name, l.Value, len(l.Value), valueLimit)
		}
		return nil
	})
}
