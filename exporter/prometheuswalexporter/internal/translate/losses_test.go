package translate

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// What cannot be translated does not affect others: the points before and after it
// are translated, and so is the next metric.
func TestBadPointsCostThemselves(t *testing.T) {
	f := func(want Reason, dropped int, fill func(m pmetric.Metric)) {
		t.Helper()
		md := one(fill)
		next := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().AppendEmpty()
		next.SetName("next")
		gauge(next, 1)
		got, losses := translated(t, defaults(), md)
		require.Equal(t, dropped, losses.Points(), "%v", losses)
		require.True(t, losses.Has(want), "%v", losses)
		require.Equal(t, md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Name(), losses[0].Metric)
		require.Contains(t, got, `{__name__="next", instance="i", job="j"} at 1700000000000 1`)
		for _, n := range []string{"first", "last"} {
			if pointsOf(md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)) > dropped {
				require.Contains(t, strings.Join(got, "\n"), fmt.Sprintf("n=%q", n))
			}
		}
	}
	among := func(bad func(m pmetric.Metric)) func(m pmetric.Metric) {
		return func(m pmetric.Metric) {
			gauge(m, 1, "n", "first")
			bad(m)
			gauge(m, 1, "n", "last")
		}
	}
	f(InvalidAttribute, 1, among(func(m pmetric.Metric) { gauge(m, 1, "", "x") }))
	f(InvalidAttribute, 1, among(func(m pmetric.Metric) { gauge(m, 1, "a", "b", "", "") }))
	f(InvalidAttribute, 1, among(func(m pmetric.Metric) { gauge(m, 1, "____", "x") }))
	f(InvalidAttribute, 1, among(func(m pmetric.Metric) { gauge(m, 1, "_____", "x") }))
	f(InvalidAttribute, 2, among(func(m pmetric.Metric) { gauge(m, 1, "", "x"); gauge(m, 2, "", "y") }))
	f(NoTimestamp, 1, among(func(m pmetric.Metric) { gauge(m, 1).SetTimestamp(0) }))
	f(InFuture, 1, among(func(m pmetric.Metric) { gauge(m, 1).SetTimestamp(ts(MaxAhead.Milliseconds() + 1)) }))
	f(InFuture, 1, among(func(m pmetric.Metric) { gauge(m, 1).SetTimestamp(ts(24 * 3600_000)) }))
	f(InFuture, 1, among(func(m pmetric.Metric) { gauge(m, 1).SetTimestamp(math.MaxUint64) }))
	f(InFuture, 1, among(func(m pmetric.Metric) { gauge(m, 1).SetTimestamp(math.MaxInt64 + 1) }))
	f(NoValue, 1, among(func(m pmetric.Metric) {
		dp := m.Gauge().DataPoints().AppendEmpty()
		dp.SetTimestamp(ts(0))
	}))
	f(InvalidName, 1, func(m pmetric.Metric) { m.SetName(""); gauge(m, 1) })
	f(InvalidName, 1, func(m pmetric.Metric) { m.SetName("__"); gauge(m, 1) })
	f(InvalidName, 1, func(m pmetric.Metric) { m.SetName("漢字"); gauge(m, 1) })
	f(DeltaTemporality, 2, func(m pmetric.Metric) {
		cumulativeSum(m, 1)
		cumulativeSum(m, 2)
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	})
	f(UnspecifiedTemporality, 1, func(m pmetric.Metric) {
		cumulativeSum(m, 1)
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityUnspecified)
	})
	f(UnspecifiedTemporality, 1, func(m pmetric.Metric) {
		cumulativeHistogram(m, 0, nil, nil)
		m.Histogram().SetAggregationTemporality(17)
	})

	classic := func(count uint64, bounds []float64, counts ...uint64) func(m pmetric.Metric) {
		return func(m pmetric.Metric) {
			cumulativeHistogram(m, 1, []float64{1}, []uint64{1, 0}).Attributes().PutStr("n", "first")
			cumulativeHistogram(m, count, bounds, counts)
			cumulativeHistogram(m, 1, []float64{1}, []uint64{1, 0}).Attributes().PutStr("n", "last")
		}
	}
	f(InvalidHistogram, 1, classic(3, []float64{1, 2}, 1, 2))
	f(InvalidHistogram, 1, classic(3, []float64{1, 2}, 1, 1, 1, 0))
	f(InvalidHistogram, 1, classic(3, nil, 1, 2))
	f(InvalidHistogram, 1, classic(3, []float64{1, 1}, 1, 1, 1))
	f(InvalidHistogram, 1, classic(3, []float64{2, 1}, 1, 1, 1))
	f(InvalidHistogram, 1, classic(3, []float64{1, math.NaN()}, 1, 1, 1))
	f(InvalidHistogram, 1, classic(3, []float64{math.Inf(1), math.Inf(1)}, 1, 1, 1))

	native := func(bad func(dp pmetric.ExponentialHistogramDataPoint), scale, offset int32, counts ...uint64) func(m pmetric.Metric) {
		return func(m pmetric.Metric) {
			exponentialHistogram(m, 0, 0, 1).Attributes().PutStr("n", "first")
			bad(exponentialHistogram(m, scale, offset, counts...))
			exponentialHistogram(m, 0, 0, 1).Attributes().PutStr("n", "last")
		}
	}
	dp := func(pmetric.ExponentialHistogramDataPoint) {}
	f(UnsupportedScale, 1, native(dp, -5, 0, 1))
	f(UnsupportedScale, 1, native(dp, math.MinInt32, 0, 1))
	f(InvalidHistogram, 1, native(func(dp pmetric.ExponentialHistogramDataPoint) { dp.SetCount(6) }, 0, 0, 3, 4))
	f(InvalidHistogram, 1, native(func(dp pmetric.ExponentialHistogramDataPoint) { dp.SetCount(8) }, 0, 0, 3, 4))
	f(InvalidHistogram, 1, native(func(dp pmetric.ExponentialHistogramDataPoint) { dp.SetZeroCount(1) }, 0, 0, 3, 4))
	f(InvalidHistogram, 1, native(func(dp pmetric.ExponentialHistogramDataPoint) { dp.SetZeroThreshold(math.NaN()) }, 0, 0, 3))
	f(InvalidHistogram, 1, native(func(dp pmetric.ExponentialHistogramDataPoint) { dp.SetZeroThreshold(-1) }, 0, 0, 3))
	f(InvalidHistogram, 1, native(dp, 0, math.MaxInt32, 1, 1))
	f(InvalidHistogram, 1, native(dp, 0, 0, math.MaxUint64))
	f(InvalidHistogram, 1, native(dp, 9, 0, math.MaxInt64, math.MaxInt64))
}

// A point is kept even if a part of it is dropped.
func TestBadPartsCostThemselves(t *testing.T) {
	md := one(func(m pmetric.Metric) {
		dp := cumulativeSum(m, 1)
		dp.Exemplars().AppendEmpty() // without a value
		e := dp.Exemplars().AppendEmpty()
		e.SetIntValue(2)
		e.SetTraceID([16]byte{1})
		e.FilteredAttributes().PutStr("long", strings.Repeat("é", 128))
		e = dp.Exemplars().AppendEmpty()
		e.SetDoubleValue(3)
		e.SetSpanID([8]byte{2})
		e.FilteredAttributes().PutStr("", "no name")
		e.FilteredAttributes().PutStr("span_id", "again")
		e.FilteredAttributes().PutStr("user.id", "7")
	})
	got, losses := translated(t, defaults(), md)
	require.Equal(t, []string{
		`{__name__="m_total", instance="i", job="j"} at 1700000000000 1` +
			` ex {trace_id="01000000000000000000000000000000"} 2` +
			` ex {span_id="0200000000000000", "user.id"="7"} 3`,
	}, got)
	require.Zero(t, losses.Points())
	for _, want := range []Reason{ExemplarWithoutValue, ExemplarTooLong, InvalidExemplarAttribute} {
		require.True(t, losses.Has(want), "%v", losses)
	}

	set := defaults()
	set.PromoteAll = true
	md = one(func(m pmetric.Metric) { gauge(m, 1) })
	rm := md.ResourceMetrics().At(0)
	rm.Resource().Attributes().PutStr("", "x")
	rm.Resource().Attributes().PutStr("k8s.pod.name", "p")
	rm.ScopeMetrics().At(0).Scope().Attributes().PutStr("", "x")
	rm.ScopeMetrics().At(0).Scope().Attributes().PutStr("color", "red")
	got, losses = translated(t, set, md)
	require.Contains(t, got, `{__name__="m", instance="i", job="j", k8s_pod_name="p", otel_scope_color="red", service_instance_id="i", service_name="j"} at 1700000000000 1`)
	require.Equal(t, Losses{
		{Reason: InvalidResourceAttribute, Items: 1, Detail: "an attribute has no name"},
		{Reason: InvalidScopeAttribute, Items: 1, Detail: "an attribute has no name"},
	}, losses)
}

func TestRefusedSamplesCostThemselves(t *testing.T) {
	md := one(func(m pmetric.Metric) { cumulativeHistogram(m, 1, nil, nil).SetSum(2) })
	got, losses := translatedTo(t, defaults(), md, &recorder{refuse: "m_count"})
	require.Len(t, got, 2)
	require.Equal(t, Losses{{Reason: Refused, Items: 1, Metric: "m", Detail: "m_count is refused"}}, losses)
}

// A request of a few megabytes can nest attributes so deep that formatting them
// overflows the stack.
func TestDeepAttributes(t *testing.T) {
	nest := func(v pcommon.Value, depth int) {
		for range depth {
			v = v.SetEmptySlice().AppendEmpty()
		}
	}
	fill := func(depth int) pmetric.Metrics {
		md := one(func(m pmetric.Metric) {
			nest(gauge(m, 1, "n", "first").Attributes().PutEmpty("deep"), depth)
			dp := gauge(m, 2, "n", "last")
			e := dp.Exemplars().AppendEmpty()
			e.SetIntValue(1)
			nest(e.FilteredAttributes().PutEmpty("deep"), depth)
		})
		rm := md.ResourceMetrics().At(0)
		nest(rm.Resource().Attributes().PutEmpty("deep"), depth)
		nest(rm.ScopeMetrics().At(0).Scope().Attributes().PutEmpty("deep"), depth)
		return md
	}
	r := &recorder{}
	losses, err := New(defaults()).Translate(context.Background(), fill(1_000_000), r, now)
	require.NoError(t, err)
	require.Equal(t, []string{`{__name__="m", instance="i", job="j", n="last"} at 1700000000000 2 ex {} 1`}, r.lines)
	require.Equal(t, 1, losses.Points())
	for _, want := range []Reason{InvalidAttribute, InvalidScopeAttribute, InvalidResourceAttribute, ExemplarTooLong} {
		require.True(t, losses.Has(want), want)
	}
	_, losses = translated(t, defaults(), fill(nesting.MaxDepth))
	require.Zero(t, losses.Points())
}

// The size of the losses is bounded, whatever the request.
func TestLossesAreBounded(t *testing.T) {
	long := strings.Repeat("\xffé", 100_000)
	md := one(func(m pmetric.Metric) {
		for i := range 1000 {
			gauge(m, 1, "", fmt.Sprint(i))
		}
		m.SetName(long)
	})
	_, losses := translated(t, defaults(), md)
	require.Len(t, losses, 1)
	require.Equal(t, 1000, losses[0].Items)
	require.Less(t, len(losses[0].Metric), 1000)
	require.True(t, strings.HasSuffix(losses[0].Metric, "…"))
}

// Memory and samples stay in proportion to the size of the request.
func TestWorkIsBounded(t *testing.T) {
	f := func(maxSamples int, maxBytes uint64, fill func(md pmetric.Metrics)) {
		t.Helper()
		md := one(func(m pmetric.Metric) { gauge(m, 1) })
		md.ResourceMetrics().At(0).Resource().Attributes().PutStr("k", "v")
		fill(md)
		r := &counter{}
		tr := New(defaults())
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := tr.Translate(context.Background(), md, r, now)
		runtime.ReadMemStats(&after)
		require.NoError(t, err)
		require.LessOrEqual(t, r.n, maxSamples)
		require.LessOrEqual(t, after.TotalAlloc-before.TotalAlloc, maxBytes)
	}
	metricOf := func(md pmetric.Metrics) pmetric.Metric {
		return md.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
	}
	// Two points 50 years apart.
	f(2+maxTargetInfo+2, 1<<20, func(md pmetric.Metrics) { gauge(metricOf(md), 1, "a", "b").SetTimestamp(1) })
	// Attributes that all become the same label.
	f(3, 40<<20, func(md pmetric.Metrics) {
		dp := gauge(metricOf(md), 1)
		dp.Attributes().EnsureCapacity(20_000)
		for i := range 20_000 {
			dp.Attributes().PutStr("a"+string(rune(0x4e00+i)), "value")
		}
	})
	// Many exemplars and many bounds.
	f(2+5003, 40<<20, func(md pmetric.Metrics) {
		m := metricOf(md)
		bounds, counts := make([]float64, 5000), make([]uint64, 5001)
		for i := range bounds {
			bounds[i] = float64(i)
		}
		dp := cumulativeHistogram(m, 0, bounds, counts)
		for i := range 50_000 {
			dp.Exemplars().AppendEmpty().SetDoubleValue(float64(i % 10_000))
		}
	})
	// Many different resources.
	f(3*20_001, 60<<20, func(md pmetric.Metrics) {
		md.ResourceMetrics().EnsureCapacity(20_001)
		for i := range 20_000 {
			rm := md.ResourceMetrics().AppendEmpty()
			rm.Resource().Attributes().PutStr("service.name", fmt.Sprint(i))
			rm.Resource().Attributes().PutStr("k", "v")
			m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
			m.SetName("m")
			gauge(m, 1)
		}
	})
	// A bucket with the lowest and one with the highest number.
	f(2, 1<<20, func(md pmetric.Metrics) {
		m := metricOf(md)
		dp := exponentialHistogram(m, 8, math.MinInt32, 1)
		dp.Negative().SetOffset(math.MaxInt32 - 1)
		dp.Negative().BucketCounts().FromRaw([]uint64{1})
		dp.SetCount(2)
	})
}

// counter only counts samples: the recorder's text would be measured too.
type counter struct{ n int }

func (*counter) BeginMetric(bool) {}

func (c *counter) Append(storage.SeriesRef, labels.Labels, int64, int64, float64, *histogram.Histogram, *histogram.FloatHistogram, storage.AOptions) (storage.SeriesRef, error) {
	c.n++
	return 1, nil
}

// Many labels of the scope with many points, or many attributes with many buckets,
// do not write the product.
func TestProductsAreBounded(t *testing.T) {
	md := one(func(m pmetric.Metric) { gauge(m, 1) })
	scope := md.ResourceMetrics().At(0).ScopeMetrics().At(0).Scope()
	for i := range maxCommon + 100 {
		scope.Attributes().PutInt(fmt.Sprintf("a%d", i), 1)
	}
	got, losses := translated(t, defaults(), md)
	require.Len(t, got, 1)
	require.Equal(t, Losses{{Reason: InvalidScopeAttribute, Items: 102, Detail: errTooMany.Error()}}, losses, "with job and instance")

	md = one(func(m pmetric.Metric) { gauge(m, 1) })
	for i := range maxCommon + 100 {
		md.ResourceMetrics().At(0).Resource().Attributes().PutInt(fmt.Sprintf("a%d", i), 1)
	}
	set := defaults()
	set.PromoteAll, set.TargetInfo = true, false
	got, losses = translated(t, set, md)
	require.Len(t, got, 1)
	require.Contains(t, got[0], `instance="i", job="j"`)
	require.True(t, losses.Has(InvalidResourceAttribute), "%v", losses)

	f := func(attributes, buckets int, want int) {
		t.Helper()
		md := one(func(m pmetric.Metric) {
			bounds := make([]float64, buckets)
			for i := range bounds {
				bounds[i] = float64(i)
			}
			dp := cumulativeHistogram(m, 0, bounds, make([]uint64, buckets+1))
			for i := range attributes {
				dp.Attributes().PutInt(fmt.Sprintf("a%d", i), 1)
			}
		})
		r := &counter{}
		losses, err := New(defaults()).Translate(context.Background(), md, r, now)
		require.NoError(t, err)
		require.Equal(t, want, losses.Points())
		require.Equal(t, want == 0, r.n > 0)
	}
	f(50, 1000, 0)
	f(1000, 1000, 0)
	f(1500, 1500, 1)
}

// A request may contain an attribute twice.
func TestRepeatedAttributes(t *testing.T) {
	wire, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(one(func(m pmetric.Metric) { gauge(m, 1, "twice1", "v", "twice2", "w") }))
	require.NoError(t, err)
	wire = bytes.ReplaceAll(bytes.ReplaceAll(wire, []byte("twice1"), []byte("twice_")), []byte("twice2"), []byte("twice_"))
	md, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(wire)
	require.NoError(t, err)
	for _, strategy := range []otlptranslator.TranslationStrategyOption{otlptranslator.NoTranslation, otlptranslator.UnderscoreEscapingWithSuffixes} {
		set := defaults()
		set.Strategy = strategy
		got, losses := translated(t, set, md)
		require.Empty(t, losses)
		require.Equal(t, []string{`{__name__="m", instance="i", job="j", twice_="v;w"} at 1700000000000 1`}, got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	tr := New(defaults())
	w := tr.workers.New().(*worker)
	for i := range 3 * maxCached {
		_, err := w.labelName(fmt.Sprintf("label.%d", i))
		require.NoError(t, err)
		m := pmetric.NewMetric()
		m.SetName(fmt.Sprintf("metric.%d", i))
		_, err = w.familyOf(m)
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(w.labelNames), maxCached)
	require.LessOrEqual(t, len(w.families), maxCached)
	before := len(w.labelNames)
	_, err := w.labelName(strings.Repeat("x", maxCachedName+1))
	require.NoError(t, err)
	require.Len(t, w.labelNames, before)
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := New(defaults()).Translate(ctx, one(func(m pmetric.Metric) { gauge(m, 1) }), &recorder{}, now)
	require.ErrorIs(t, err, context.Canceled)
}
