package summaryexporter

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func gauge(values ...float64) pmetric.Metric {
	m := pmetric.NewMetric()
	m.SetUnit("1")
	points := m.SetEmptyGauge().DataPoints()
	for i, v := range values {
		p := points.AppendEmpty()
		p.SetDoubleValue(v)
		p.Attributes().PutStr("cpu", fmt.Sprint(i))
	}
	return m
}

func TestAggregation(t *testing.T) {
	f := func(aggregation, want string) {
		t.Helper()
		w := newWatch(&WatchConfig{Metric: "m", Aggregation: aggregation})
		now := time.Now()
		w.observe(pcommon.NewResource(), gauge(0.25, 0.5, 0.75), now)
		v, ok := w.value(now)
		require.True(t, ok)
		require.Equal(t, want, format(v, w.unit, w.rate))
	}
	f("", "150.0 %")
	f("sum", "150.0 %")
	f("avg", "50.0 %")
	f("min", "25.0 %")
	f("max", "75.0 %")
}

func TestCounterReset(t *testing.T) {
	w := newWatch(&WatchConfig{Metric: "io"})
	start := time.Unix(1000, 0)
	// f observes a reading and compares the rate that is shown after it.
	f := func(seconds int, reading int64, want float64, wantKnown bool) {
		t.Helper()
		at := start.Add(time.Duration(seconds) * time.Second)
		m := counter("io", reading, at).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
		w.observe(pcommon.NewResource(), m, at)
		v, known := w.value(at)
		require.Equal(t, wantKnown, known)
		require.InDelta(t, want, v, 0)
	}
	f(0, 100, 0, false)
	f(10, 200, 10, true)
	f(10, 900, 10, true) // the same instant twice says nothing
	f(20, 5, 10, true)   // a reset keeps the last known rate
	f(30, 25, 2, true)
}

func TestDeltaRate(t *testing.T) {
	m := counter("io", 50, time.Unix(1010, 0)).ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0)
	m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	m.Sum().DataPoints().At(0).SetStartTimestamp(pcommon.NewTimestampFromTime(time.Unix(1000, 0)))
	w := newWatch(&WatchConfig{Metric: "io"})
	w.observe(pcommon.NewResource(), m, time.Unix(1010, 0))
	v, known := w.value(time.Unix(1010, 0))
	require.True(t, known)
	require.InDelta(t, 5.0, v, 0)
}

func TestEndedSeriesAreForgotten(t *testing.T) {
	w := newWatch(&WatchConfig{Metric: "m"})
	now := time.Now()
	w.observe(pcommon.NewResource(), gauge(1, 2), now)
	_, known := w.value(now.Add(staleAfter))
	require.True(t, known)
	_, known = w.value(now.Add(staleAfter + time.Second))
	require.False(t, known)
	require.Empty(t, w.series)
}

func TestWatchIsBounded(t *testing.T) {
	w := newWatch(&WatchConfig{Metric: "m"})
	w.observe(pcommon.NewResource(), gauge(make([]float64, maxWatchedSeries+10)...), time.Now())
	require.Len(t, w.series, maxWatchedSeries)
}

func TestHistogramsHaveNoOneValue(t *testing.T) {
	w := newWatch(&WatchConfig{Metric: "m"})
	m := pmetric.NewMetric()
	m.SetEmptyHistogram().DataPoints().AppendEmpty()
	w.observe(pcommon.NewResource(), m, time.Now())
	_, known := w.value(time.Now())
	require.False(t, known)
}

func TestFormat(t *testing.T) {
	f := func(v float64, unit string, rate bool, want string) {
		t.Helper()
		require.Equal(t, want, format(v, unit, rate))
	}
	f(0.415, "1", false, "41.5 %")
	f(3, "1", true, "3.00/s")
	f(0.42, "{thread}", false, "0.42")
	f(7, "", true, "7.00/s")
	f(1023, "By", false, "1023.0 B")
	f(1536, "By", true, "1.5 KiB/s")
	f(5*1024*1024, "By", false, "5.0 MiB")
	f(3<<30, "By", false, "3.0 GiB")
	f(2.5*(1<<40), "By", false, "2.5 TiB")
	f(12, "Cel", false, "12.00 Cel")
}
