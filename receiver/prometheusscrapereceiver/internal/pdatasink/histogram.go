package pdatasink

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// maxBuckets limits the width of a native histogram. Spans are sparse and pdata is not: ten
// bytes on the wire can require gigabytes. At the finest schema the limit corresponds to 256
// powers of two.
const maxBuckets = 1 << 16

var errSpans = errors.New("spans don't match the buckets")

// checkNative returns an error if the spans of a histogram do not match its buckets or are
// too wide. Parsers do not check this.
func checkNative(s *sample) error {
	if s.h != nil {
		return errors.Join(
			checkSpans(s, s.h.PositiveSpans, len(s.h.PositiveBuckets), s.h.CustomValues),
			checkSpans(s, s.h.NegativeSpans, len(s.h.NegativeBuckets), nil))
	}
	return errors.Join(
		checkSpans(s, s.fh.PositiveSpans, len(s.fh.PositiveBuckets), s.fh.CustomValues),
		checkSpans(s, s.fh.NegativeSpans, len(s.fh.NegativeBuckets), nil))
}

func checkSpans(s *sample, spans []histogram.Span, buckets int, bounds []float64) error {
	total := 0
	for i, span := range spans {
		if i > 0 && span.Offset < 0 {
			return errSpans
		}
		total += int(span.Length)
	}
	if total != buckets {
		return errSpans
	}
	width := spanWidth(spans)
	if s.kind == kindCustom && len(spans) > 0 && (spans[0].Offset < 0 || int(spans[0].Offset)+width > len(bounds)+1) {
		return errSpans
	}
	if width > maxBuckets || len(bounds) > maxBuckets {
		return fmt.Errorf("native histogram is %d buckets wide, more than %d", max(width, len(bounds)), maxBuckets)
	}
	return nil
}

// spanWidth returns the number of buckets from the first to the last one, including gaps.
func spanWidth(spans []histogram.Span) int {
	width := 0
	for i, span := range spans {
		if i > 0 {
			width += int(span.Offset)
		}
		width += int(span.Length)
	}
	return width
}

// layOut writes the buckets of spans to dest, beginning at start. next returns the count of
// the i-th bucket and is called in order.
func layOut(dest []uint64, start int, spans []histogram.Span, next func(i int) uint64) {
	at, bucket := start, 0
	for i, span := range spans {
		if i > 0 {
			at += int(span.Offset)
		}
		for range span.Length {
			dest[at] = next(bucket)
			at++
			bucket++
		}
	}
}

// fromDeltas returns the counts of buckets that are stored as differences to the previous
// bucket.
func fromDeltas(deltas []int64) func(int) uint64 {
	sum := int64(0)
	return func(i int) uint64 {
		sum += deltas[i]
		return uint64(max(sum, 0))
	}
}

// fromFloats returns the counts of buckets that are stored as floats.
func fromFloats(counts []float64) func(int) uint64 {
	return func(i int) uint64 { return wholeCount(counts[i]) }
}

// wholeCount converts a float to a count. Go leaves the conversion of a value out of range to
// the processor.
func wholeCount(v float64) uint64 {
	switch {
	case !(v > 0): // also NaN
		return 0
	case v >= math.MaxUint64:
		return math.MaxUint64
	}
	return uint64(v)
}

// total returns the sum of bucket counts. A histogram with fractional counts uses it as its
// count, because receivers refuse a count that differs from the sum of the truncated buckets.
func total(counts []uint64) uint64 {
	n := uint64(0)
	for _, c := range counts {
		n += c
	}
	return n
}

// counts returns n zeroes, valid until the next call.
func (w *workspace) counts(n int) []uint64 {
	if cap(w.countBuffer) < n {
		w.countBuffer = make([]uint64, n)
	}
	c := w.countBuffer[:n]
	clear(c)
	return c
}

// fillHistogram writes a histogram with explicit bounds: a classic one or an NHCB.
func (t *transaction) fillHistogram(dp pmetric.HistogramDataPoint, p *point, f *family) {
	stale := p.stale || value.IsStaleNaN(p.sum) || value.IsStaleNaN(p.count)
	if stale {
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	} else {
		dp.SetCount(wholeCount(p.count))
		if p.hasSum {
			dp.SetSum(p.sum)
		}
	}
	if f.native {
		t.fillCustom(dp, p)
	} else {
		t.fillClassic(dp, p, stale)
	}
	dp.SetTimestamp(fromMillis(p.at))
	dp.SetStartTimestamp(p.startOf(stale))
	fillAttributes(dp.Attributes(), p.labels, f.boundaryLabel())
	t.fillExemplars(dp.Exemplars(), p)
}

// fillClassic converts cumulative buckets to counts. A stale point keeps its buckets, with
// counts of 0, so that it can be recognised.
func (t *transaction) fillClassic(dp pmetric.HistogramDataPoint, p *point, stale bool) {
	buckets := t.inOrder(p)
	if !stale {
		// Single buckets may become stale while the histogram continues with others.
		buckets = slices.DeleteFunc(buckets, func(b bucket) bool { return value.IsStaleNaN(b.value) })
	}
	if n := len(buckets); n > 0 && math.IsInf(buckets[n-1].boundary, 1) {
		buckets = buckets[:n-1] // pdata implies it
	}
	counts := t.counts(len(buckets) + 1)
	bounds := t.boundBuffer[:0]
	below := 0.0
	for i, b := range buckets {
		bounds = append(bounds, b.boundary)
		if !stale {
			counts[i] = wholeCount(b.value - below)
		}
		if !math.IsNaN(b.value) {
			below = b.value
		}
	}
	if !stale {
		counts[len(buckets)] = wholeCount(p.count - below)
	}
	t.boundBuffer = bounds
	dp.ExplicitBounds().FromRaw(bounds)
	dp.BucketCounts().FromRaw(counts)
}

// fillCustom writes the buckets of an NHCB. A stale one has none.
func (w *workspace) fillCustom(dp pmetric.HistogramDataPoint, p *point) {
	var bounds []float64
	var spans []histogram.Span
	var next func(int) uint64
	switch {
	case p.h != nil:
		bounds, spans, next = p.h.CustomValues, p.h.PositiveSpans, fromDeltas(p.h.PositiveBuckets)
	case p.fh != nil:
		bounds, spans, next = p.fh.CustomValues, p.fh.PositiveSpans, fromFloats(p.fh.PositiveBuckets)
	default:
		return
	}
	counts := w.counts(len(bounds) + 1)
	if len(spans) > 0 {
		layOut(counts, int(spans[0].Offset), spans, next)
	}
	if p.fh != nil && !p.stale {
		dp.SetCount(total(counts))
	}
	dp.ExplicitBounds().FromRaw(bounds)
	dp.BucketCounts().FromRaw(counts)
}

// fillExponential writes a native histogram. Prometheus has no minimum and maximum.
func (w *workspace) fillExponential(dp pmetric.ExponentialHistogramDataPoint, p *point, f *family) {
	switch {
	case p.stale:
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	case p.h != nil:
		dp.SetScale(p.h.Schema)
		dp.SetCount(p.h.Count)
		dp.SetSum(p.h.Sum)
		dp.SetZeroThreshold(p.h.ZeroThreshold)
		dp.SetZeroCount(p.h.ZeroCount)
		w.fillSide(dp.Positive(), p.h.PositiveSpans, fromDeltas(p.h.PositiveBuckets))
		w.fillSide(dp.Negative(), p.h.NegativeSpans, fromDeltas(p.h.NegativeBuckets))
	case p.fh != nil:
		dp.SetScale(p.fh.Schema)
		dp.SetSum(p.fh.Sum)
		dp.SetZeroThreshold(p.fh.ZeroThreshold)
		dp.SetZeroCount(wholeCount(p.fh.ZeroCount))
		count := dp.ZeroCount()
		count += w.fillSide(dp.Positive(), p.fh.PositiveSpans, fromFloats(p.fh.PositiveBuckets))
		count += w.fillSide(dp.Negative(), p.fh.NegativeSpans, fromFloats(p.fh.NegativeBuckets))
		dp.SetCount(count)
	}
	dp.SetTimestamp(fromMillis(p.at))
	dp.SetStartTimestamp(p.startOf(p.stale))
	fillAttributes(dp.Attributes(), p.labels, f.boundaryLabel())
	w.fillExemplars(dp.Exemplars(), p)
}

// fillSide writes the buckets of one sign and returns the sum of their counts.
func (w *workspace) fillSide(dest pmetric.ExponentialHistogramDataPointBuckets, spans []histogram.Span, next func(int) uint64) uint64 {
	if len(spans) == 0 {
		return 0
	}
	counts := w.counts(spanWidth(spans))
	layOut(counts, 0, spans, next)
	// Prometheus numbers a bucket by its upper bound, pdata by its lower.
	dest.SetOffset(spans[0].Offset - 1)
	dest.BucketCounts().FromRaw(counts)
	return total(counts)
}
