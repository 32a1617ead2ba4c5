package translate

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

type nativeHistogram = histogram.Histogram

// defaultZeroThreshold is used if the sender sets none.
const defaultZeroThreshold = 1e-128

// exponential writes an exponential histogram as a native one.
func (w *worker) exponential(dp pmetric.ExponentialHistogramDataPoint) {
	if dp.Flags().NoRecordedValue() {
		w.nativeMarker(dp)
		return
	}
	h, reason, err := w.fromExponential(dp)
	if err == nil {
		reason, err = InvalidHistogram, h.Validate()
	}
	if err != nil {
		w.lose(reason, 1, err.Error())
		return
	}
	appendNative(w, dp, dp.Exemplars(), h)
}

// nativeMarker ends the series of a native histogram as a scraper does.
func (w *worker) nativeMarker(dp dataPoint) {
	if p, ok := beginPoint(w, dp, "", 1); ok {
		w.append(&p, w.metric.family.name, "", stale)
		w.appendCreated(&p)
		w.end(&p)
	}
}

func appendNative[P dataPoint](w *worker, dp P, exemplars pmetric.ExemplarSlice, h *histogram.Histogram) {
	p, ok := beginPoint(w, dp, "", 1)
	if !ok {
		return
	}
	p.exemplars = w.exemplarsOf(exemplars, p.at)
	w.appendSample(&p, w.metric.family.name, "", 0, h)
	p.exemplars = nil
	w.appendCreated(&p)
	w.end(&p)
}

// resetHint never returns NotCounterReset: a receiver would not check for resets.
func (w *worker) resetHint() histogram.CounterResetHint {
	if w.metric.delta || w.metric.gaugeHistogram() {
		return histogram.GaugeType
	}
	return histogram.UnknownCounterReset
}

func (w *worker) fromExponential(dp pmetric.ExponentialHistogramDataPoint) (*histogram.Histogram, Reason, error) {
	scale := dp.Scale()
	if scale < histogram.ExponentialSchemaMin {
		return nil, UnsupportedScale, fmt.Errorf("scale %d is below %d, the coarsest of native histograms", scale, histogram.ExponentialSchemaMin)
	}
	merge := max(0, int64(scale)-int64(histogram.ExponentialSchemaMax)) // 2^merge buckets become one
	h := &histogram.Histogram{
		CounterResetHint: w.resetHint(),
		Schema:           min(scale, histogram.ExponentialSchemaMax),
		ZeroThreshold:    dp.ZeroThreshold(),
		ZeroCount:        dp.ZeroCount(),
		Count:            dp.Count(),
	}
	if dp.HasSum() {
		h.Sum = dp.Sum()
	}
	switch {
	case h.ZeroThreshold == 0 && !w.metric.scraped:
		h.ZeroThreshold = defaultZeroThreshold
	case !(h.ZeroThreshold >= 0) || math.IsInf(h.ZeroThreshold, 1):
		return nil, InvalidHistogram, fmt.Errorf("zero threshold %v is not a positive number", h.ZeroThreshold)
	}
	var err error
	if h.PositiveSpans, h.PositiveBuckets, err = w.spans(dp.Positive().BucketCounts(), int64(dp.Positive().Offset()), uint64(merge), 1); err != nil {
		return nil, InvalidHistogram, err
	}
	if h.NegativeSpans, h.NegativeBuckets, err = w.spans(dp.Negative().BucketCounts(), int64(dp.Negative().Offset()), uint64(merge), 1); err != nil {
		return nil, InvalidHistogram, err
	}
	return h, "", nil
}

// customBuckets writes a histogram with explicit bounds as a native one.
func (w *worker) customBuckets(dp pmetric.HistogramDataPoint) {
	if dp.Flags().NoRecordedValue() {
		w.nativeMarker(dp)
		return
	}
	h, err := w.fromExplicit(dp)
	if err != nil {
		w.lose(InvalidHistogram, 1, err.Error())
		return
	}
	appendNative(w, dp, dp.Exemplars(), h)
}

func (w *worker) fromExplicit(dp pmetric.HistogramDataPoint) (*histogram.Histogram, error) {
	bounds, err := boundsOf(dp)
	if err != nil {
		return nil, err
	}
	h := &histogram.Histogram{
		CounterResetHint: w.resetHint(),
		Schema:           histogram.CustomBucketsSchema,
		Count:            dp.Count(),
		CustomValues:     dp.ExplicitBounds().AsRaw()[:bounds],
	}
	if dp.HasSum() {
		h.Sum = dp.Sum()
	}
	if n := dp.BucketCounts().Len(); n > 0 {
		c := counts(dp.BucketCounts())
		if n > bounds+1 { // there was a bound of +Inf
			c = withoutLast(c)
		}
		if h.PositiveSpans, h.PositiveBuckets, err = w.spans(c, 0, 0, 0); err != nil {
			return nil, err
		}
	} else if h.Count > 0 {
		h.PositiveSpans, h.PositiveBuckets = []histogram.Span{{Length: 1}}, []int64{int64(h.Count)}
	}
	return h, h.Validate()
}

// counts are the counts of dense buckets.
type counts interface {
	Len() int
	At(i int) uint64
}

// withoutLast adds the last count to the one before.
func withoutLast(c counts) counts {
	raw := make(sliceCounts, c.Len()-1)
	for i := range raw {
		raw[i] = c.At(i)
	}
	raw[len(raw)-1] += c.At(len(raw))
	return raw
}

type sliceCounts []uint64

func (c sliceCounts) Len() int        { return len(c) }
func (c sliceCounts) At(i int) uint64 { return c[i] }

var (
	errIndex = errors.New("a bucket is further from 1 than can be numbered")
	errCount = errors.New("a bucket counts more than can be written")
)

// maxGap is the number of empty buckets up to which they are written rather than
// skipped with a new span, as in client_golang.
const maxGap = 2

// spans converts dense buckets to spans and differences. The bucket at index i
// gets the number (offset+i)>>merge + shift: Prometheus numbers the buckets of an
// exponential histogram by the upper bound, OTLP by the lower.
func (w *worker) spans(c counts, offset int64, merge uint64, shift int64) (spans []histogram.Span, deltas []int64, err error) {
	w.deltas = w.deltas[:0]
	var last, lastCount int64 // of the last bucket written
	put := func(number, count int64) {
		gap := number - last - 1
		switch {
		case spans == nil:
			spans = append(spans, histogram.Span{Offset: int32(number)})
		case gap > maxGap:
			spans = append(spans, histogram.Span{Offset: int32(gap)})
		default:
			for range gap {
				spans[len(spans)-1].Length++
				w.deltas = append(w.deltas, -lastCount)
				lastCount = 0
			}
		}
		spans[len(spans)-1].Length++
		w.deltas = append(w.deltas, count-lastCount)
		last, lastCount = number, count
	}
	for i, n := 0, c.Len(); i < n; {
		number := (offset+int64(i))>>merge + shift
		sum := uint64(0)
		for ; i < n && (offset+int64(i))>>merge+shift == number; i++ {
			count := c.At(i)
			if count > math.MaxInt64 || sum+count > math.MaxInt64 {
				return nil, nil, errCount
			}
			sum += count
		}
		if sum == 0 {
			continue
		}
		if number > math.MaxInt32 || number < math.MinInt32 || spans != nil && number-last > math.MaxInt32 {
			return nil, nil, errIndex
		}
		put(number, int64(sum))
	}
	if spans == nil {
		return nil, nil, nil
	}
	return spans, slices.Clone(w.deltas), nil
}
