package pdatasink

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

var errTwoTimes = errors.New("another sample of the point has another timestamp")

// point becomes one data point. It is one sample, or all the samples of one
// classic histogram or summary.
type point struct {
	labels labels.Labels // of the first sample
	at     int64         // milliseconds
	start  pcommon.Timestamp

	hasValue, hasSum, hasCount bool
	stale                      bool // only for native histograms: the others have stale values
	value, sum, count          float64
	h                          *histogram.Histogram
	fh                         *histogram.FloatHistogram

	buckets   chain // or quantiles
	exemplars chain
}

// pointKey tells points apart. As in Prometheus, 64 bits of hash stand for the
// labels within one scrape of one target.
type pointKey struct {
	family int32
	hash   uint64
}

// bucket is one cumulative bucket of a classic histogram, or one quantile.
type bucket struct {
	boundary, value float64
}

func (b bucket) compare(other bucket) int { return cmp.Compare(b.boundary, other.boundary) }

// record puts a sample into its point and returns the point.
func (t *transaction) record(s *sample, sc int32) (int32, error) {
	ref := t.familyOf(s, sc)
	f := t.families.at(ref.family)
	role := ref.role
	if role == roleExact {
		role = f.exactRole(s)
	}

	// All that can be wrong with the sample is found before it has a point.
	var boundary float64
	if role == roleBoundary {
		var err error
		if boundary, err = parseBoundary(s.labels, f.boundaryLabel()); err != nil {
			return none, err
		}
	}
	if s.h != nil || s.fh != nil {
		if err := checkNative(s); err != nil {
			return none, err
		}
	}

	i, err := t.pointOf(s, ref.family, f)
	if err != nil {
		return none, err
	}
	p := t.points.at(i)
	if s.start != 0 {
		p.start = fromMillis(s.start)
	}
	switch {
	case s.kind.native():
		p.setNative(s)
		if s.h != nil && s.h.CounterResetHint == histogram.GaugeType || s.fh != nil && s.fh.CounterResetHint == histogram.GaugeType {
			t.gaugeHistogram = cmp.Or(t.gaugeHistogram, s.name)
		}
	case role == roleValue:
		p.value, p.hasValue = s.value, true
	case role == roleBoundary:
		t.buckets.add(&p.buckets, bucket{boundary: boundary, value: s.value})
	case role == roleSum:
		p.sum, p.hasSum = s.value, true
	case role == roleCount:
		p.count, p.hasCount = s.value, true
	case role == roleCreated:
		p.start = fromSeconds(s.value)
	}
	return i, nil
}

// setNative takes a native histogram, or the staleness marker of one.
func (p *point) setNative(s *sample) {
	p.h, p.fh, p.hasCount, p.hasSum, p.stale = s.h, s.fh, true, true, false
	switch {
	case s.h != nil:
		p.count, p.sum = float64(s.h.Count), s.h.Sum
	case s.fh != nil:
		p.count, p.sum = s.fh.Count, s.fh.Sum
	default:
		p.stale = true
		return
	}
	p.stale = value.IsStaleNaN(p.sum)
}

func parseBoundary(ls labels.Labels, label string) (float64, error) {
	text := ls.Get(label)
	if text == "" {
		return 0, fmt.Errorf("series lacks the %s label", label)
	}
	boundary, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%s label: %w", label, err)
	}
	return boundary, nil
}

// pointOf finds the point of a sample in its family, or begins it.
func (t *transaction) pointOf(s *sample, familyID int32, f *family) (int32, error) {
	key := pointKey{family: familyID}
	switch {
	case f.mtype == pmetric.MetricTypeGauge || f.native:
		// One sample is one point: the reference, that usually came with the
		// sample, spares hashing.
		key.hash = uint64(s.ref)
	case f.mtype == pmetric.MetricTypeSummary:
		key.hash, t.key = s.labels.HashWithoutLabels(t.key, noSummaryAttributes...)
	default:
		key.hash, t.key = s.labels.HashWithoutLabels(t.key, noHistogramAttributes...)
	}
	i, known := t.pointIDs[key]
	if !known {
		i = t.points.add(&f.points, point{labels: s.labels, at: s.at})
		t.pointIDs[key] = i
		return i, nil
	}
	if t.points.at(i).at != s.at {
		return none, errTwoTimes
	}
	return i, nil
}

// emitted says whether the point has what its type can't be without.
func (p *point) emitted(f *family) bool {
	switch f.mtype {
	case pmetric.MetricTypeGauge, pmetric.MetricTypeSum:
		return p.hasValue
	case pmetric.MetricTypeHistogram:
		// A classic histogram with a sum but no count would be left out. Made
		// into one with custom buckets, its count is 0.
		if f.native && !p.stale && p.count == 0 && p.sum != 0 {
			return false
		}
	}
	return p.hasCount
}

// Labels that are no attributes, sorted as HashWithoutLabels wants them. The
// scope labels are none either, but are the same for all points of a family.
var (
	noHistogramAttributes = []string{model.MetricsPathLabel, model.MetricNameLabel, model.SchemeLabel, model.InstanceLabel, model.JobLabel, model.BucketLabel}
	noSummaryAttributes   = []string{model.MetricsPathLabel, model.MetricNameLabel, model.SchemeLabel, model.InstanceLabel, model.JobLabel, model.QuantileLabel}
)

// fillAttributes writes the labels that tell the points of a metric apart.
func fillAttributes(dest pcommon.Map, ls labels.Labels, boundaryLabel string) {
	n := 0
	ls.Range(func(l labels.Label) {
		if isAttribute(l, boundaryLabel) {
			n++
		}
	})
	dest.EnsureCapacity(n)
	ls.Range(func(l labels.Label) {
		if isAttribute(l, boundaryLabel) {
			dest.PutStr(l.Name, l.Value)
		}
	})
}

func isAttribute(l labels.Label, boundaryLabel string) bool {
	switch l.Name {
	case model.MetricNameLabel, model.JobLabel, model.InstanceLabel, model.SchemeLabel, model.MetricsPathLabel, boundaryLabel:
		return false
	}
	return l.Value != "" && !isScopeLabel(l.Name)
}

func fromMillis(ms int64) pcommon.Timestamp {
	return pcommon.Timestamp(ms * 1e6)
}

// fromSeconds converts the value of a _created sample. It has no time when it
// is a staleness marker.
func fromSeconds(s float64) pcommon.Timestamp {
	if !(s > 0) {
		return 0
	}
	whole, fraction := math.Modf(s)
	return pcommon.Timestamp(int64(whole)*1e9 + int64(fraction*1e9))
}
