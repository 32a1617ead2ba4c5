package translate

import (
	"context"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorder is an Appender that records samples as text.
type recorder struct {
	lines   []string
	scraped bool
	refuse  string // a metric name
	render  func(line *line)
}

// line is a recorded sample.
type line struct {
	name      string
	labels    labels.Labels
	at, start int64
	v         float64
	h         *histogram.Histogram
	opts      storage.AOptions
}

func (r *recorder) BeginMetric(scraped bool) { r.scraped = scraped }

func (r *recorder) Append(_ storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, _ *histogram.FloatHistogram, opts storage.AOptions) (storage.SeriesRef, error) {
	if r.refuse != "" && ls.Get("__name__") == r.refuse {
		return 0, fmt.Errorf("%s is refused", r.refuse)
	}
	if name, dup := ls.HasDuplicateLabelNames(); dup {
		return 0, fmt.Errorf("label %s twice", name)
	}
	l := &line{name: ls.Get("__name__"), labels: ls, at: t, start: st, v: v, h: h, opts: opts}
	if r.render != nil {
		r.render(l)
	}
	r.lines = append(r.lines, l.String())
	return 1, nil
}

func (l *line) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %d", l.labels, l.at)
	if l.start != 0 {
		fmt.Fprintf(&b, " from %d", l.start)
	}
	switch {
	case l.h != nil:
		h := l.h.Copy().Compact(0)
		fmt.Fprintf(&b, " schema %d zero %v %d sum %v count %d hint %d %v %v %v %v %v", h.Schema, h.ZeroThreshold, h.ZeroCount,
			h.Sum, h.Count, h.CounterResetHint, h.PositiveSpans, h.PositiveBuckets, h.NegativeSpans, h.NegativeBuckets, h.CustomValues)
	case value.IsStaleNaN(l.v):
		b.WriteString(" stale")
	default:
		fmt.Fprintf(&b, " %v", l.v)
	}
	for _, e := range l.opts.Exemplars {
		fmt.Fprintf(&b, " ex %s %v", e.Labels, e.Value)
		if e.HasTs {
			fmt.Fprintf(&b, " at %d", e.Ts)
		}
	}
	return b.String()
}

const nowMillis = 1_700_000_000_000

var now = time.UnixMilli(nowMillis)

// ts returns the OTLP timestamp that is offset milliseconds after now.
func ts(offset int64) pcommon.Timestamp { return pcommon.Timestamp((nowMillis + offset) * 1e6) }

func defaults() Settings {
	return Settings{Strategy: otlptranslator.UnderscoreEscapingWithSuffixes, TargetInfo: true, PromoteScope: true}
}

// translated translates metrics, and checks that they are unchanged.
func translated(t testing.TB, set Settings, md pmetric.Metrics) ([]string, Losses) {
	t.Helper()
	return translatedTo(t, set, md, &recorder{})
}

func translatedTo(t testing.TB, set Settings, md pmetric.Metrics, r *recorder) ([]string, Losses) {
	t.Helper()
	before := marshalled(t, md)
	losses, err := New(set).Translate(context.Background(), md, r, now)
	require.NoError(t, err)
	require.Equal(t, before, marshalled(t, md))
	sort.Strings(r.lines)
	return r.lines, losses
}

func marshalled(t testing.TB, md pmetric.Metrics) []byte {
	out, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(md)
	require.NoError(t, err)
	return out
}

// one returns a metric of a resource with a job and an instance.
func one(fill func(m pmetric.Metric)) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "j")
	rm.Resource().Attributes().PutStr("service.instance.id", "i")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("m")
	fill(m)
	return md
}

// gauge adds a point to a gauge. attributes are names and values.
func gauge(m pmetric.Metric, v float64, attributes ...string) pmetric.NumberDataPoint {
	if m.Type() != pmetric.MetricTypeGauge {
		m.SetEmptyGauge()
	}
	dp := m.Gauge().DataPoints().AppendEmpty()
	dp.SetTimestamp(ts(0))
	dp.SetDoubleValue(v)
	for i := 0; i < len(attributes); i += 2 {
		dp.Attributes().PutStr(attributes[i], attributes[i+1])
	}
	return dp
}

func cumulativeHistogram(m pmetric.Metric, count uint64, bounds []float64, counts []uint64) pmetric.HistogramDataPoint {
	if m.Type() != pmetric.MetricTypeHistogram {
		m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	dp := m.Histogram().DataPoints().AppendEmpty()
	dp.SetTimestamp(ts(0))
	dp.SetCount(count)
	dp.ExplicitBounds().FromRaw(bounds)
	dp.BucketCounts().FromRaw(counts)
	return dp
}

func exponentialHistogram(m pmetric.Metric, scale, offset int32, counts ...uint64) pmetric.ExponentialHistogramDataPoint {
	if m.Type() != pmetric.MetricTypeExponentialHistogram {
		m.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	dp := m.ExponentialHistogram().DataPoints().AppendEmpty()
	dp.SetTimestamp(ts(0))
	dp.SetScale(scale)
	dp.Positive().SetOffset(offset)
	dp.Positive().BucketCounts().FromRaw(counts)
	n := uint64(0)
	for _, c := range counts {
		n += c
	}
	dp.SetCount(n)
	return dp
}

func cumulativeSum(m pmetric.Metric, v float64) pmetric.NumberDataPoint {
	if m.Type() != pmetric.MetricTypeSum {
		m.SetEmptySum().SetIsMonotonic(true)
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	}
	dp := m.Sum().DataPoints().AppendEmpty()
	dp.SetTimestamp(ts(0))
	dp.SetDoubleValue(v)
	return dp
}
