package pdatasink

import (
	"cmp"
	"math"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// point becomes one data point. It holds one sample, or all samples of one classic
// histogram or summary.
type point struct {
	labels labels.Labels // of the first sample
	family int32
	at     int64 // milliseconds
	start  pcommon.Timestamp

	hasValue, hasSum, hasCount bool
	hasCreated, endsCreated    bool // has a _created sample, and it is a staleness marker
	stale                      bool // for native histograms only: other points have stale values
	value, sum, count          float64
	h                          *histogram.Histogram
	fh                         *histogram.FloatHistogram

	buckets   chain // of the histogram, or quantiles of the summary
	exemplars chain
}

// pointKey identifies a point. As in Prometheus, a 64-bit hash identifies the labels within
// one scrape of one target. A target may expose a series at several times.
type pointKey struct {
	family int32
	hash   uint64
	at     int64
}

// maxMillis is the largest time, in milliseconds, that fits into nanoseconds.
const maxMillis = math.MaxInt64 / 1_000_000

// bucket is one cumulative bucket of a classic histogram, or one quantile.
type bucket struct {
	boundary, value float64
}

func (b bucket) compare(other bucket) int { return cmp.Compare(b.boundary, other.boundary) }

// record adds a sample to its point and returns the index of the point.
func (t *transaction) record(s *sample, sc int32) (int32, error) {
	ref := t.familyOf(s, sc)
	f := t.families.at(ref.family)
	role := ref.role
	if role == roleExact {
		role = f.exactRole(s)
	}

	// The sample is validated before a point is created for it.
	if s.at > maxMillis || s.at < -maxMillis {
		return none, errTimestamp
	}
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

	i := t.pointOf(s, ref.family, f)
	p := t.points.at(i)
	if p.has(s.kind, role) {
		return none, errDuplicate
	}
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
		p.start, p.hasCreated, p.endsCreated = fromSeconds(s.value), true, value.IsStaleNaN(s.value)
		f.created = true
	}
	return i, nil
}

// has reports whether the point has a sample of this role. As in Prometheus, the first one
// counts: a later one may be of a series that relabelling made equal, or its staleness
// marker. Duplicate buckets are found by inOrder.
func (p *point) has(k kind, r role) bool {
	switch {
	case k.native(), r == roleCount:
		return p.hasCount
	case r == roleValue:
		return p.hasValue
	case r == roleSum:
		return p.hasSum
	case r == roleCreated:
		return p.hasCreated
	}
	return false
}

// setNative sets a native histogram, or the staleness marker of one.
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
		return 0, &boundaryError{label: label}
	}
	boundary, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, &boundaryError{label: label, err: err}
	}
	return boundary, nil
}

// pointOf returns the point of a sample in its family, and adds it if it is new.
func (t *transaction) pointOf(s *sample, familyID int32, f *family) int32 {
	key := pointKey{family: familyID, at: s.at}
	switch {
	case f.mtype == pmetric.MetricTypeGauge || f.native:
		// One sample is one point. The reference, which usually comes with the sample,
		// saves hashing.
		key.hash = uint64(s.ref)
	case f.mtype == pmetric.MetricTypeSummary:
		key.hash, t.key = s.labels.HashWithoutLabels(t.key, noSummaryAttributes...)
	default:
		key.hash, t.key = s.labels.HashWithoutLabels(t.key, noHistogramAttributes...)
	}
	i, known := t.pointIDs[key]
	if !known {
		i = t.points.add(&f.points, point{labels: s.labels, family: familyID, at: s.at})
		t.pointIDs[key] = i
	}
	return i
}

// samples is how many of the scrape are in the point.
func (p *point) samples() int {
	n := int(p.buckets.n)
	for _, has := range []bool{p.hasValue, p.hasSum, p.hasCount, p.hasCreated} {
		if has {
			n++
		}
	}
	return n
}

// startOf returns the start timestamp of a point. For a staleness marker that also ends the
// _created series it is the time of the marker, which distinguishes it.
func (p *point) startOf(stale bool) pcommon.Timestamp {
	if stale && p.endsCreated {
		return fromMillis(p.at)
	}
	return p.start
}

// emitted reports whether the point has the samples that its type requires.
func (p *point) emitted(f *family) bool {
	switch f.mtype {
	case pmetric.MetricTypeGauge, pmetric.MetricTypeSum:
		return p.hasValue
	case pmetric.MetricTypeHistogram:
		// A classic histogram with a sum but no count is not emitted. Converted to an
		// NHCB, it has a count of 0.
		if f.native && !p.stale && p.count == 0 && p.sum != 0 {
			return false
		}
	}
	return p.hasCount
}

// Labels that are not attributes, sorted as HashWithoutLabels requires. Scope labels are not
// attributes either, but are equal for all points of a family.
var (
	noHistogramAttributes = []string{model.MetricsPathLabel, model.MetricNameLabel, model.SchemeLabel, model.InstanceLabel, model.JobLabel, model.BucketLabel}
	noSummaryAttributes   = []string{model.MetricsPathLabel, model.MetricNameLabel, model.SchemeLabel, model.InstanceLabel, model.JobLabel, model.QuantileLabel}
)

// fillAttributes writes the labels that identify a point of its metric. If the series has no
// job or instance, in contrast to its resource, the attribute is empty.
func fillAttributes(dest pcommon.Map, ls labels.Labels, boundaryLabel string) {
	n, job, instance := 0, false, false
	ls.Range(func(l labels.Label) {
		switch {
		case isAttribute(l, boundaryLabel):
			n++
		case l.Name == model.JobLabel:
			job = l.Value != ""
		case l.Name == model.InstanceLabel:
			instance = l.Value != ""
		}
	})
	if !job {
		n++
	}
	if !instance {
		n++
	}
	dest.EnsureCapacity(n)
	ls.Range(func(l labels.Label) {
		if isAttribute(l, boundaryLabel) {
			dest.PutStr(l.Name, l.Value)
		}
	})
	if !job {
		dest.PutStr(model.JobLabel, "")
	}
	if !instance {
		dest.PutStr(model.InstanceLabel, "")
	}
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

// fromSeconds converts the value of a _created sample. It returns 0 for staleness markers and
// values out of range.
func fromSeconds(s float64) pcommon.Timestamp {
	if !(s > 0) {
		return 0
	}
	whole, fraction := math.Modf(s)
	if whole >= maxMillis/1000 {
		return 0
	}
	return pcommon.Timestamp(int64(whole)*1e9 + int64(math.Round(fraction*1e9)))
}
