package translate

import (
	"context"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/otlptranslator"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// join returns samples as the tables below have them: one per line, without the
// time and the labels that all have.
func join(lines []string) string {
	text := strings.Join(lines, "\n")
	text = strings.ReplaceAll(text, ` at 1700000000000`, "")
	return strings.ReplaceAll(text, `instance="i", job="j"`, "…")
}

func TestScopes(t *testing.T) {
	two := func(name, version, url, color string) pmetric.Metrics {
		md := one(func(m pmetric.Metric) { gauge(m, 1) })
		sms := md.ResourceMetrics().At(0).ScopeMetrics()
		sms.At(0).Scope().SetName("lib")
		sms.At(0).CopyTo(sms.AppendEmpty())
		second := sms.At(1)
		second.Scope().SetName(name)
		second.Scope().SetVersion(version)
		second.SetSchemaUrl(url)
		if color != "" {
			second.Scope().Attributes().PutStr("color", color)
		}
		second.Metrics().At(0).Gauge().DataPoints().At(0).SetDoubleValue(2)
		return md
	}
	f := func(md pmetric.Metrics, promote bool, want string) {
		t.Helper()
		set := defaults()
		set.PromoteScope = promote
		got, losses := translated(t, set, md)
		require.Empty(t, losses)
		require.Equal(t, want, join(got))
	}
	f(two("other", "", "", ""), true, `{__name__="m", …, otel_scope_name="lib"} 1
{__name__="m", …, otel_scope_name="other"} 2`)
	f(two("lib", "1.0", "", ""), true, `{__name__="m", …, otel_scope_name="lib", otel_scope_version="1.0"} 2
{__name__="m", …, otel_scope_name="lib"} 1`)
	f(two("", "", "http://a", ""), true, `{__name__="m", …, otel_scope_name="lib"} 1
{__name__="m", …, otel_scope_schema_url="http://a"} 2`)
	f(two("", "", "", "red"), true, `{__name__="m", …, otel_scope_color="red"} 2
{__name__="m", …, otel_scope_name="lib"} 1`)
	f(two("other", "", "", ""), false, `{__name__="m", …} 1
{__name__="m", …} 2`)
}

func TestNastyAttributes(t *testing.T) {
	f := func(strategy otlptranslator.TranslationStrategyOption, fill func(m pmetric.Metric), want string) {
		t.Helper()
		set := defaults()
		set.Strategy = strategy
		got, losses := translated(t, set, one(fill))
		require.Empty(t, losses)
		require.Equal(t, want, join(got))
	}
	escaped, utf8 := otlptranslator.UnderscoreEscapingWithSuffixes, otlptranslator.NoTranslation
	point := func(attributes ...string) func(m pmetric.Metric) {
		return func(m pmetric.Metric) { gauge(m, 1, attributes...) }
	}
	f(escaped, point("a.b", "1", "a_b", "2", "a-b", ""), `{__name__="m", a_b="1;2", …} 1`)
	f(utf8, point("a.b", "1", "a_b", "2", "é", "3"), `{__name__="m", "a.b"="1", a_b="2", …, "é"="3"} 1`)
	f(escaped, point("empty", "", "z", "1"), `{__name__="m", …, z="1"} 1`)
	f(escaped, point("__name__", "other", "job", "x", "instance", "y"), `{__name__="m", …} 1`)
	f(escaped, point("bad\xff", "also \xff\xfe bad"), `{__name__="m", bad_="also � bad", …} 1`)
	f(utf8, point("bad\xff", "x"), `{__name__="m", "bad�"="x", …} 1`)
	f(utf8, point("____", "x"), `{____="x", __name__="m", …} 1`)
	f(escaped, func(m pmetric.Metric) {
		m.SetName("n\xff")
		gauge(m, 1, "9", "1", "_x", "2").Attributes().PutEmptyMap("map").PutInt("k", 1)
	}, `{__name__="n", …, key_9="1", key_x="2", map="{\"k\":1}"} 1`)

	// JSON has no such numbers; the label is kept nevertheless.
	f(escaped, func(m pmetric.Metric) {
		gauge(m, 1).Attributes().PutEmptyMap("map").PutDouble("k", math.NaN())
		gauge(m, 2).Attributes().PutEmptySlice("list").AppendEmpty().SetDouble(math.Inf(1))
	}, `{__name__="m", …, list="[+Inf]"} 2
{__name__="m", …, map="map[k:NaN]"} 1`)

	// Attributes with the name of the boundary label.
	f(escaped, func(m pmetric.Metric) {
		dp := cumulativeHistogram(m, 3, []float64{1}, []uint64{1, 2})
		dp.Attributes().PutStr("le", "mine")
	}, `{__name__="m_bucket", exported_le="mine", …, le="+Inf"} 3
{__name__="m_bucket", exported_le="mine", …, le="1"} 1
{__name__="m_count", exported_le="mine", …} 3`)
	f(escaped, func(m pmetric.Metric) {
		dp := m.SetEmptySummary().DataPoints().AppendEmpty()
		dp.SetTimestamp(ts(0))
		dp.QuantileValues().AppendEmpty().SetQuantile(0.5)
		dp.Attributes().PutStr("quantile", "mine")
		dp.Attributes().PutStr("exported_quantile", "too")
	}, `{__name__="m", exported_exported_quantile="mine", exported_quantile="too", …, quantile="0.5"} 0
{__name__="m_count", exported_exported_quantile="mine", exported_quantile="too", …} 0
{__name__="m_sum", exported_exported_quantile="mine", exported_quantile="too", …} 0`)
	f(escaped, point("le", "kept", "quantile", "too"), `{__name__="m", …, le="kept", quantile="too"} 1`)
}

func TestValuesAndTimes(t *testing.T) {
	f := func(fill func(dp pmetric.NumberDataPoint), want string) {
		t.Helper()
		got, losses := translated(t, defaults(), one(func(m pmetric.Metric) { fill(gauge(m, 1)) }))
		require.Empty(t, losses)
		require.Equal(t, `{__name__="m", instance="i", job="j"} `+want, strings.Join(got, "\n"))
	}
	f(func(dp pmetric.NumberDataPoint) { dp.SetDoubleValue(math.NaN()) }, `at 1700000000000 NaN`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetDoubleValue(math.Inf(-1)) }, `at 1700000000000 -Inf`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetIntValue(math.MaxInt64) }, `at 1700000000000 9.223372036854776e+18`)
	f(func(dp pmetric.NumberDataPoint) {
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}, `at 1700000000000 stale`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetTimestamp(1) }, `at 0 1`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetTimestamp(ts(MaxAhead.Milliseconds())) }, `at 1700000600000 1`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetStartTimestamp(ts(-1)) }, `at 1700000000000 from 1699999999999 1`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetStartTimestamp(ts(1)) }, `at 1700000000000 1`)
	f(func(dp pmetric.NumberDataPoint) { dp.SetStartTimestamp(math.MaxUint64) }, `at 1700000000000 1`)
	f(func(dp pmetric.NumberDataPoint) {
		dp.Exemplars().AppendEmpty().SetIntValue(3)
		e := dp.Exemplars().AppendEmpty()
		e.SetTimestamp(ts(-1))
		e.SetDoubleValue(4)
	}, `at 1700000000000 1 ex {} 4 at 1699999999999 ex {} 3`)
}

func TestHistograms(t *testing.T) {
	f := func(nhcb bool, fill func(m pmetric.Metric), want string) {
		t.Helper()
		set := defaults()
		set.HistogramsToNHCB = nhcb
		got, losses := translated(t, set, one(fill))
		require.Empty(t, losses)
		require.Equal(t, want, join(got))
	}
	inf := math.Inf(1)
	// A bound of +Inf is the implicit last one.
	withInf := func(m pmetric.Metric) { cumulativeHistogram(m, 6, []float64{1, inf}, []uint64{1, 2, 3}).SetSum(7) }
	f(false, withInf, `{__name__="m_bucket", …, le="+Inf"} 6
{__name__="m_bucket", …, le="1"} 1
{__name__="m_count", …} 6
{__name__="m_sum", …} 7`)
	f(true, withInf, `{__name__="m", …} schema -53 zero 0 0 sum 7 count 6 hint 0 [{0 2}] [1 4] [] [] [1]`)
	// Only the total is known.
	total := func(m pmetric.Metric) { cumulativeHistogram(m, 6, []float64{1}, nil) }
	f(false, total, `{__name__="m_bucket", …, le="+Inf"} 6
{__name__="m_count", …} 6`)
	f(true, total, `{__name__="m", …} schema -53 zero 0 0 sum 0 count 6 hint 0 [{0 1}] [6] [] [] []`)
	// A staleness marker ends all the series that it identifies.
	marker := func(m pmetric.Metric) {
		dp := cumulativeHistogram(m, 0, []float64{1}, nil)
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}
	f(false, marker, `{__name__="m_bucket", …, le="+Inf"} stale
{__name__="m_bucket", …, le="1"} stale
{__name__="m_count", …} stale
{__name__="m_sum", …} stale`)
	f(true, marker, `{__name__="m", …} stale`)
	// Exemplars belong to the bucket of their value, whatever their order.
	f(false, func(m pmetric.Metric) {
		dp := cumulativeHistogram(m, 6, []float64{1, 2}, []uint64{1, 2, 3})
		for _, v := range []float64{math.NaN(), 3, 0.5, 2, 1} {
			dp.Exemplars().AppendEmpty().SetDoubleValue(v)
		}
	}, `{__name__="m_bucket", …, le="+Inf"} 6 ex {} 3 ex {} NaN
{__name__="m_bucket", …, le="1"} 1 ex {} 0.5 ex {} 1
{__name__="m_bucket", …, le="2"} 3 ex {} 2
{__name__="m_count", …} 6`)
}

// One Translator serves all requests, and pdata may be shared with other
// exporters.
func TestConcurrentUse(t *testing.T) {
	md := one(func(m pmetric.Metric) {
		dp := cumulativeHistogram(m, 6, []float64{1, 2}, []uint64{1, 2, 3})
		dp.Attributes().PutStr("a.b", "c")
		dp.Exemplars().AppendEmpty().SetDoubleValue(1.5)
	})
	scrapedMetric(ourScope, "counter", nil).ResourceMetrics().MoveAndAppendTo(md.ResourceMetrics())
	tr := New(defaults())
	results := make([][]string, 8)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			for range 50 {
				r := &recorder{}
				if _, err := tr.Translate(context.Background(), md, r, now); err != nil {
					return
				}
				results[i] = r.lines
			}
		})
	}
	wg.Wait()
	require.Len(t, results[0], 5)
	for _, got := range results {
		require.Equal(t, results[0], got)
	}
}

func TestTargetInfo(t *testing.T) {
	resource := func(md pmetric.Metrics, at pcommon.Timestamp, attributes ...string) {
		rm := md.ResourceMetrics().AppendEmpty()
		for i := 0; i < len(attributes); i += 2 {
			rm.Resource().Attributes().PutStr(attributes[i], attributes[i+1])
		}
		m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
		m.SetName("m")
		gauge(m, 1).SetTimestamp(at)
	}
	f := func(fill func(md pmetric.Metrics), want ...string) {
		t.Helper()
		md := pmetric.NewMetrics()
		fill(md)
		r := &recorder{render: func(l *line) {
			if l.name == "target_info" {
				require.True(t, l.opts.RejectOutOfOrder)
			}
		}}
		got, _ := translatedTo(t, defaults(), md, r)
		var infos []string
		for _, s := range got {
			if strings.Contains(s, "target_info") {
				infos = append(infos, s)
			}
		}
		require.Equal(t, want, infos)
	}
	// Two resources share a series, the later one first: its samples are in order,
	// one for each time.
	f(func(md pmetric.Metrics) {
		resource(md, ts(1), "service.name", "j", "k", "v")
		resource(md, ts(0), "k", "v", "service.name", "j")
		resource(md, ts(1), "service.name", "j", "k", "v")
	}, `{__name__="target_info", job="j", k="v"} at 1700000000000 1`, `{__name__="target_info", job="j", k="v"} at 1700000000001 1`)
	f(func(md pmetric.Metrics) { resource(md, ts(0), "k", "v") })                  // of nobody
	f(func(md pmetric.Metrics) { resource(md, ts(0), "service.name", "j") })       // nothing to tell
	f(func(md pmetric.Metrics) { resource(md, 0, "service.name", "j", "k", "v") }) // without a point
	f(func(md pmetric.Metrics) {
		resource(md, ts(0), "service.name", "j", "service.namespace", "ns", "a.b", "1", "a_b", "2", "", "x")
	}, `{__name__="target_info", a_b="1;2", job="ns/j"} at 1700000000000 1`)
}
