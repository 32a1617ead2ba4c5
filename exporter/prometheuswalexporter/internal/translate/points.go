package translate

import (
	"fmt"
	"math"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// point is what the samples of a data point have in common.
type point struct {
	start, at int64 // ms; start is 0 if it is not known
	stale     bool
	accepted  bool              // one of its samples was
	created   pcommon.Timestamp // of the _created series, or 0
	exemplars []exemplar.Exemplar
}

// points translates the points of the metric at hand.
func (w *worker) points() {
	switch m := w.metric; m.Type() {
	case pmetric.MetricTypeGauge:
		for _, dp := range m.Gauge().DataPoints().All() {
			w.number(dp)
		}
	case pmetric.MetricTypeSum:
		for _, dp := range m.Sum().DataPoints().All() {
			w.number(dp)
		}
	case pmetric.MetricTypeSummary:
		for _, dp := range m.Summary().DataPoints().All() {
			w.summary(dp)
		}
	case pmetric.MetricTypeHistogram:
		for _, dp := range m.Histogram().DataPoints().All() {
			if m.nhcb {
				w.customBuckets(dp)
			} else {
				w.histogram(dp)
			}
		}
	case pmetric.MetricTypeExponentialHistogram:
		for _, dp := range m.ExponentialHistogram().DataPoints().All() {
			w.exponential(dp)
		}
	}
}

// dataPoint is what the point types have in common.
type dataPoint interface {
	Attributes() pcommon.Map
	Timestamp() pcommon.Timestamp
	StartTimestamp() pcommon.Timestamp
	Flags() pmetric.DataPointFlags
}

// maxWork bounds the labels times the samples of a point. Without it, a few
// kilobytes of attributes and buckets could ask for their product.
const maxWork = 1 << 21

// beginPoint prepares for the samples of a point. boundary is the name of the
// boundary label, or empty. It returns false if the point has no translation.
func beginPoint[P dataPoint](w *worker, dp P, boundary string, samples int) (point, bool) {
	p := point{at: millis(dp.Timestamp()), stale: dp.Flags().NoRecordedValue()}
	switch {
	case samples > 1 && samples*dp.Attributes().Len() > maxWork:
		w.lose(TooLarge, 1, "")
		return p, false
	case w.metric.scraped:
		// A target may expose times of 1970 or before.
		if p.at > w.latest {
			w.lose(InFuture, 1, "")
			return p, false
		}
	case dp.Timestamp() == 0:
		w.lose(NoTimestamp, 1, "")
		return p, false
	case uint64(dp.Timestamp())/1e6 > uint64(max(0, w.latest)):
		w.lose(InFuture, 1, dp.Timestamp().String())
		return p, false
	}
	if !w.setLabels(dp.Attributes(), boundary) {
		return p, false
	}
	if w.metric.created {
		p.created = dp.StartTimestamp()
	} else if st := millis(dp.StartTimestamp()); st <= p.at {
		p.start = st // a later start is wrong
	}
	return p, true
}

// end notes the time of a point that was accepted. Staleness markers of scraped
// series do not count: the target is gone.
func (w *worker) end(p *point) {
	if !p.accepted || p.stale && w.metric.scraped {
		return
	}
	w.from, w.to = min(w.from, p.at), max(w.to, p.at)
	w.scraped = w.scraped || w.metric.scraped
}

func (w *worker) number(dp pmetric.NumberDataPoint) {
	v := stale
	switch {
	case dp.Flags().NoRecordedValue():
	case dp.ValueType() == pmetric.NumberDataPointValueTypeDouble:
		v = dp.DoubleValue()
	case dp.ValueType() == pmetric.NumberDataPointValueTypeInt:
		v = float64(dp.IntValue())
	default:
		w.lose(NoValue, 1, "")
		return
	}
	p, ok := beginPoint(w, dp, "", 1)
	if !ok {
		return
	}
	p.exemplars = w.exemplarsOf(dp.Exemplars(), p.at)
	w.append(&p, w.metric.nameOf(dp.Attributes()), "", v)
	w.appendCreated(&p)
	w.end(&p)
}

func (w *worker) summary(dp pmetric.SummaryDataPoint) {
	p, ok := beginPoint(w, dp, model.QuantileLabel, dp.QuantileValues().Len()+2)
	if !ok {
		return
	}
	w.append(&p, w.metric.sum, "", p.or(dp.Sum()))
	w.append(&p, w.metric.count, "", p.or(float64(dp.Count())))
	for _, q := range dp.QuantileValues().All() {
		w.append(&p, w.metric.family.name, w.boundary(q.Quantile()), p.or(q.Value()))
	}
	w.appendCreated(&p)
	w.end(&p)
}

// or returns v, or a staleness marker if the point is one.
func (p *point) or(v float64) float64 {
	if p.stale {
		return stale
	}
	return v
}

// boundary formats the value of le or quantile, as Prometheus does for scraped
// metrics and for those of OTLP.
func (w *worker) boundary(v float64) string {
	if w.metric.scraped {
		return labels.FormatOpenMetricsFloat(v)
	}
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// histogram writes a histogram as a classic one.
func (w *worker) histogram(dp pmetric.HistogramDataPoint) {
	bounds, err := boundsOf(dp)
	if err != nil {
		w.lose(InvalidHistogram, 1, err.Error())
		return
	}
	p, ok := beginPoint(w, dp, model.BucketLabel, bounds+3)
	if !ok {
		return
	}
	// A staleness marker has no sum, but also ends the series of sums.
	if dp.HasSum() || p.stale {
		w.append(&p, w.metric.sum, "", p.or(dp.Sum()))
	}
	w.append(&p, w.metric.count, "", p.or(float64(dp.Count())))

	exemplars := w.exemplarsOf(dp.Exemplars(), p.at)
	sortByValue(exemplars)
	counts := dp.BucketCounts()
	below := uint64(0)
	for i := range bounds {
		bound := dp.ExplicitBounds().At(i)
		if i < counts.Len() {
			below += counts.At(i)
		}
		p.exemplars, exemplars = splitExemplars(exemplars, bound)
		w.append(&p, w.metric.bucket, w.boundary(bound), p.or(float64(below)))
	}
	p.exemplars = sortByTime(exemplars)
	w.append(&p, w.metric.bucket, "+Inf", p.or(float64(dp.Count())))
	p.exemplars = nil
	w.appendCreated(&p)
	w.end(&p)
}

// boundsOf returns the number of bounds of a histogram, without the last one if
// it is +Inf. It returns an error if they do not rise, since equal bounds would
// be one series.
func boundsOf(dp pmetric.HistogramDataPoint) (int, error) {
	bounds, counts := dp.ExplicitBounds(), dp.BucketCounts()
	n := bounds.Len()
	if counts.Len() != n+1 && counts.Len() != 0 {
		return 0, fmt.Errorf("%d bounds need %d bucket counts, not %d", n, n+1, counts.Len())
	}
	for i := range n {
		switch b := bounds.At(i); {
		case math.IsNaN(b):
			return 0, fmt.Errorf("bound %d is NaN", i)
		case i > 0 && b <= bounds.At(i-1):
			return 0, fmt.Errorf("bound %d, %v, is not above the one before, %v", i, b, bounds.At(i-1))
		}
	}
	if n > 0 && math.IsInf(bounds.At(n-1), 1) {
		n--
	}
	if counts.Len() == 0 && !dp.Flags().NoRecordedValue() {
		return 0, nil // only the total is known
	}
	return n, nil
}

// millis converts a time of OTLP. Times before 1970 are encoded as negative
// numbers.
func millis(ts pcommon.Timestamp) int64 { return int64(ts) / 1e6 }
