package translate

import (
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/invar-otel/invar/internal/promlane"
)

const (
	ourScope     = "github.com/invar-otel/invar/receiver/prometheusscrapereceiver"
	contribScope = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"
)

// scrapedMetric returns a gauge with everything that the translation would change.
func scrapedMetric(scope, typ string, change func(pmetric.ResourceMetrics, pmetric.Metric)) pmetric.Metrics {
	md := one(func(m pmetric.Metric) {
		m.SetName("weird__requests")
		m.SetUnit("s")
		if typ != "" {
			m.Metadata().PutStr("prometheus.type", typ)
		}
		dp := cumulativeSum(m, 1)
		dp.Attributes().PutStr("a__b", "c")
		dp.Attributes().PutStr("é", "d")
	})
	rm := md.ResourceMetrics().At(0)
	rm.Resource().Attributes().PutStr("server.port", "80")
	rm.Resource().Attributes().PutStr("url.scheme", "http")
	rm.ScopeMetrics().At(0).Scope().SetName(scope)
	rm.ScopeMetrics().At(0).Scope().SetVersion("1.2.3")
	if change != nil {
		change(rm, rm.ScopeMetrics().At(0).Metrics().At(0))
	}
	return md
}

// Scraped metrics are recognised by the type in their metadata, or by the scope of
// a receiver. The test of the lanes covers all types.
func TestScrapedMetricsAreKnown(t *testing.T) {
	f := func(set Settings, md pmetric.Metrics, want ...string) {
		t.Helper()
		got, losses := translated(t, set, md)
		require.Empty(t, losses)
		require.ElementsMatch(t, want, got)
	}
	const kept = `{__name__="weird__requests", a__b="c", instance="i", job="j", "é"="d"} at 1700000000000 1`
	f(defaults(), scrapedMetric(ourScope, "counter", nil), kept)
	f(defaults(), scrapedMetric(contribScope, "counter", nil), kept)
	// A processor created a new metric, or changed the scope.
	f(defaults(), scrapedMetric(ourScope, "", nil), kept)
	f(defaults(), scrapedMetric(contribScope, "", nil), kept)
	f(defaults(), scrapedMetric("", "counter", func(rm pmetric.ResourceMetrics, _ pmetric.Metric) {
		rm.ScopeMetrics().At(0).Scope().SetVersion("")
	}), kept)
	f(defaults(), scrapedMetric("lib", "counter", nil),
		`{__name__="weird__requests", a__b="c", instance="i", job="j", otel_scope_name="lib", otel_scope_version="1.2.3", "é"="d"} at 1700000000000 1`)

	const otlp = `{__name__="weird_requests_seconds_total", a_b="c", instance="i", job="j", key_="d", otel_scope_name=`
	f(defaults(), scrapedMetric("lib", "", nil),
		otlp+`"lib", otel_scope_version="1.2.3"} at 1700000000000 1`,
		`{__name__="target_info", instance="i", job="j", server_port="80", url_scheme="http"} at 1700000000000 1`)
	set := defaults()
	set.TranslateScraped, set.TargetInfo = true, false
	f(set, scrapedMetric(ourScope, "counter", nil), otlp+`"`+ourScope+`", otel_scope_version="1.2.3"} at 1700000000000 1`)
}

// Attributes that processors add are kept, and change nothing else.
func TestScrapedMetricsWithMore(t *testing.T) {
	f := func(set Settings, change func(pmetric.ResourceMetrics, pmetric.Metric), want ...string) {
		t.Helper()
		got, losses := translated(t, set, scrapedMetric(ourScope, "counter", change))
		require.Empty(t, losses)
		require.Equal(t, want, got)
	}
	const kept = `{__name__="weird__requests", a__b="c", instance="i", job="j", "é"="d"} at 1700000000000 `
	resource := func(names ...string) func(pmetric.ResourceMetrics, pmetric.Metric) {
		return func(rm pmetric.ResourceMetrics, _ pmetric.Metric) {
			for _, name := range names {
				rm.Resource().Attributes().PutStr(name, "v")
			}
		}
	}
	f(defaults(), resource("service.namespace", "k8s.pod.name", "k8s.namespace.name", "server.address"), kept+"1")
	f(defaults(), resource("k8s.deployment.name", "k8s.pod.name", "own__label"),
		`{__name__="target_info", instance="i", job="j", k8s_deployment_name="v", own__label="v"} at 1700000000000 1`, kept+"1")
	set := defaults()
	set.TargetInfo = false
	f(set, resource("k8s.deployment.name"), kept+"1")
	set.Promote = []string{"k8s.pod.name", "absent"}
	f(set, resource("k8s.pod.name"), `{__name__="weird__requests", a__b="c", instance="i", job="j", k8s_pod_name="v", "é"="d"} at 1700000000000 1`)
	// A start time from a processor, or from the exposition.
	f(defaults(), func(_ pmetric.ResourceMetrics, m pmetric.Metric) {
		m.Sum().DataPoints().At(0).SetStartTimestamp(ts(-1))
	}, `{__name__="weird__requests", a__b="c", instance="i", job="j", "é"="d"} at 1700000000000 from 1699999999999 1`)
	// A series that the target exposed without an instance, and another job.
	f(defaults(), func(_ pmetric.ResourceMetrics, m pmetric.Metric) {
		m.Sum().DataPoints().At(0).Attributes().PutStr("instance", "")
		m.Sum().DataPoints().At(0).Attributes().PutStr("job", "own")
	}, `{__name__="weird__requests", a__b="c", job="own", "é"="d"} at 1700000000000 1`)
	// A staleness marker writes no target_info.
	f(defaults(), func(rm pmetric.ResourceMetrics, m pmetric.Metric) {
		rm.Resource().Attributes().PutStr("k", "v")
		m.Sum().DataPoints().At(0).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}, kept+"stale")
	// Times before 1970 are accepted, those in the future are not.
	f(defaults(), func(_ pmetric.ResourceMetrics, m pmetric.Metric) {
		m.Sum().DataPoints().At(0).SetTimestamp(0)
		negative := int64(-5e6)
		m.Sum().DataPoints().At(0).CopyTo(m.Sum().DataPoints().AppendEmpty())
		m.Sum().DataPoints().At(1).SetTimestamp(pcommon.Timestamp(negative))
	}, `{__name__="weird__requests", a__b="c", instance="i", job="j", "é"="d"} at -5 1`,
		`{__name__="weird__requests", a__b="c", instance="i", job="j", "é"="d"} at 0 1`)
}

// The metadata is that of the exposition, under the name it declared.
func TestScrapedMetadata(t *testing.T) {
	f := func(name, typ, unit, family string, wantSeries, wantFamily string, want metadata.Metadata) {
		t.Helper()
		md := one(func(m pmetric.Metric) {
			m.SetName(name)
			m.SetUnit(unit)
			m.Metadata().PutStr("prometheus.type", typ)
			if family != "" {
				m.Metadata().PutStr(promlane.MetadataFamily, family)
			}
			gauge(m, 1)
		})
		seen := false
		_, losses := translatedTo(t, defaults(), md, &recorder{render: func(l *line) {
			seen = true
			require.Equal(t, wantSeries, l.name)
			require.Equal(t, wantFamily, l.opts.MetricFamilyName)
			require.Equal(t, want, l.opts.Metadata)
		}})
		require.Empty(t, losses)
		require.True(t, seen)
	}
	f("a_total", "counter", "", "a", "a_total", "a", metadata.Metadata{Type: model.MetricTypeCounter})
	f("a_total", "counter", "", "", "a_total", "a_total", metadata.Metadata{Type: model.MetricTypeCounter})
	f("a", "info", "", "", "a_info", "a", metadata.Metadata{Type: model.MetricTypeInfo})
	f("a_info", "info", "", "", "a_info", "a_info", metadata.Metadata{Type: model.MetricTypeInfo})
	f("a", "gauge", "By", "", "a", "a", metadata.Metadata{Type: model.MetricTypeGauge, Unit: "bytes"})
	f("a", "gauge", "m/s", "", "a", "a", metadata.Metadata{Type: model.MetricTypeGauge, Unit: "meters_per_second"})
	f("a", "gauge", "1", "", "a", "a", metadata.Metadata{Type: model.MetricTypeGauge, Unit: "ratio"})
	f("a", "gauge", "things", "", "a", "a", metadata.Metadata{Type: model.MetricTypeGauge, Unit: "things"})
	f("a", "unknown", "", "", "a", "", metadata.Metadata{})
}

// A counter that a processor has made a delta is no counter any more.
func TestScrapedDelta(t *testing.T) {
	md := scrapedMetric(ourScope, "counter", func(_ pmetric.ResourceMetrics, m pmetric.Metric) {
		m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityDelta)
	})
	_, losses := translated(t, defaults(), md)
	require.True(t, losses.Has(DeltaTemporality))
	set := defaults()
	set.AllowDelta = true
	_, losses = translatedTo(t, set, md, &recorder{render: func(l *line) {
		require.Equal(t, model.MetricTypeUnknown, l.opts.Metadata.Type)
	}})
	require.Empty(t, losses)
}

func TestScrapedLosses(t *testing.T) {
	md := scrapedMetric(ourScope, "counter", func(_ pmetric.ResourceMetrics, m pmetric.Metric) {
		m.Sum().DataPoints().At(0).SetTimestamp(ts(MaxAhead.Milliseconds() + 1))
		cumulativeSum(m, 2).Attributes().PutStr("", "x")
		cumulativeSum(m, 3)
	})
	got, losses := translated(t, defaults(), md)
	require.Equal(t, []string{`{__name__="weird__requests", instance="i", job="j"} at 1700000000000 3`}, got)
	require.Equal(t, Losses{
		{Reason: InFuture, Items: 1, Metric: "weird__requests"},
		{Reason: InvalidAttribute, Items: 1, Metric: "weird__requests", Detail: "an attribute has no name"},
	}, losses)
	md = scrapedMetric(ourScope, "counter", func(_ pmetric.ResourceMetrics, m pmetric.Metric) { m.SetName("") })
	_, losses = translated(t, defaults(), md)
	require.Equal(t, 1, losses.Points())
}

// Scraped samples have to be in order; some samples have to be in any case.
func TestOrderOfSamples(t *testing.T) {
	f := func(md pmetric.Metrics, scraped, reject bool) {
		t.Helper()
		r := &recorder{}
		r.render = func(l *line) {
			require.Equal(t, scraped, r.scraped)
			require.Equal(t, reject, l.opts.RejectOutOfOrder)
		}
		set := defaults()
		set.TargetInfo = false
		got, _ := translatedTo(t, set, md, r)
		require.NotEmpty(t, got)
	}
	staleness := func(_ pmetric.ResourceMetrics, m pmetric.Metric) {
		m.Sum().DataPoints().At(0).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
		m.Metadata().PutStr(promlane.MetadataCreated, "series")
		m.Sum().DataPoints().At(0).SetStartTimestamp(ts(0))
	}
	f(scrapedMetric(ourScope, "counter", nil), true, false)
	f(scrapedMetric(ourScope, "counter", staleness), true, true)
	f(scrapedMetric("lib", "", nil), false, false)
	f(scrapedMetric("lib", "", staleness), false, true)
}
