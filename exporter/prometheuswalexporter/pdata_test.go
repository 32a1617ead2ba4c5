package prometheuswalexporter

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
)

// otlp returns metrics of a resource, filled by add.
func otlp(add func(pmetric.MetricSlice)) pmetric.Metrics {
	md := pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	rm.Resource().Attributes().PutStr("service.instance.id", "i1")
	rm.Resource().Attributes().PutStr("k8s.pod.name", "p1")
	add(rm.ScopeMetrics().AppendEmpty().Metrics())
	return md
}

func addSum(ms pmetric.MetricSlice, name string, temporality pmetric.AggregationTemporality, ts time.Time, v float64) {
	m := ms.AppendEmpty()
	m.SetName(name)
	s := m.SetEmptySum()
	s.SetIsMonotonic(true)
	s.SetAggregationTemporality(temporality)
	p := s.DataPoints().AppendEmpty()
	p.SetTimestamp(pcommon.NewTimestampFromTime(ts))
	p.SetDoubleValue(v)
}

func TestConsumesMetrics(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.Translation.PromoteResourceAttributes = []string{"k8s.pod.name"}
	e, _ := startExporter(t, cfg)
	now := time.Now().Truncate(time.Millisecond)
	require.NoError(t, e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
		addSum(ms, "requests", pmetric.AggregationTemporalityCumulative, now, 7)
		m := ms.AppendEmpty()
		m.SetName("size")
		m.SetUnit("By")
		h := m.SetEmptyExponentialHistogram()
		h.SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
		p := h.DataPoints().AppendEmpty()
		p.SetTimestamp(pcommon.NewTimestampFromTime(now))
		p.SetCount(3)
		p.SetSum(9)
		p.Positive().BucketCounts().FromRaw([]uint64{1, 2})
	})))
	sink.waitFor(t, 3)
	got := sink.series()
	name := func(metric string) string {
		return fmt.Sprintf(`{__name__="%s", instance="i1", job="shop", k8s_pod_name="p1"}`, metric)
	}
	require.Equal(t, []sample{{now.UnixMilli(), 7}}, got[name("requests_total")].samples)
	require.EqualValues(t, 3, got[name("size_bytes")].histograms[0].ToIntHistogram().Count)
	require.Contains(t, got, `{__name__="target_info", instance="i1", job="shop", k8s_pod_name="p1"}`)
}

// Delta metrics are dropped with a hint on what to do; the others are accepted.
func TestDeltaIsRefused(t *testing.T) {
	sink := newSink(t)
	host := newStatusHost()
	e := startOn(t, host, testConfig(t, sink.url))
	now := time.Now()
	require.NoError(t, e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
		addSum(ms, "delta", pmetric.AggregationTemporalityDelta, now, 1)
		addSum(ms, "cumulative", pmetric.AggregationTemporalityCumulative, now, 1)
	})))
	sink.waitFor(t, 2) // and target_info
	errs := host.waitFor(t, componentstatus.StatusRecoverableError)
	require.ErrorContains(t, errs[0], "put a deltatocumulative processor before this exporter")

	err := e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
		ms.AppendEmpty().SetName("nothing")
	}))
	require.NoError(t, err, "no data point was lost")
}

// If nothing is accepted, the sender gets a permanent error: 400 over HTTP.
func TestUntranslatableIsPermanent(t *testing.T) {
	sink := newSink(t)
	e, _ := startExporter(t, testConfig(t, sink.url))
	err := e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
		addSum(ms, "delta", pmetric.AggregationTemporalityDelta, time.Now(), 1)
	}))
	require.True(t, consumererror.IsPermanent(err), "%v", err)
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.ErrorContains(t, err, "put a deltatocumulative processor before this exporter")

	err = e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
		addSum(ms, "x", pmetric.AggregationTemporalityCumulative, time.Now(), 1)
		attributes := ms.At(0).Sum().DataPoints().At(0).Attributes()
		for i := range maxLabels {
			attributes.PutStr(fmt.Sprint("a", i), "x")
		}
	}))
	require.True(t, consumererror.IsPermanent(err), "%v", err)
}

// Losses are counted by reason and logged once, with the name of the metric. The
// other data points arrive.
func TestLossesAreCountedAndLogged(t *testing.T) {
	sink := newSink(t)
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := exportertest.NewNopSettings(ownmetadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	core, logs := observer.New(zap.InfoLevel)
	set.Logger = zap.New(core)
	e, err := newExporter(set, testConfig(t, sink.url))
	require.NoError(t, err)
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	now := time.Now().Truncate(time.Millisecond)
	const rounds = 3
	for i := range rounds {
		at := now.Add(time.Duration(i) * time.Millisecond)
		require.NoError(t, e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
			addSum(ms, "fine", pmetric.AggregationTemporalityCumulative, at, 1)
			addSum(ms, "a delta", pmetric.AggregationTemporalityDelta, at, 1)
			addSum(ms, "ahead", pmetric.AggregationTemporalityCumulative, at.Add(24*time.Hour), 1)
			addSum(ms, "nameless", pmetric.AggregationTemporalityCumulative, at, 1)
			ms.At(3).Sum().DataPoints().At(0).Attributes().PutStr("", "x")
			addSum(ms, "exemplary", pmetric.AggregationTemporalityCumulative, at, 1)
			ms.At(4).Sum().DataPoints().At(0).Exemplars().AppendEmpty()
		})))
	}
	sink.waitFor(t, 3*rounds) // fine, exemplary and target_info

	m, err := tel.GetMetric(prefix + "untranslated_items")
	require.NoError(t, err)
	counted := map[string]int64{}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		reason, _ := p.Attributes.Value("reason")
		counted[reason.AsString()] = p.Value
	}
	require.Equal(t, map[string]int64{
		"delta_temporality": rounds, "in_future": rounds, "invalid_attribute": rounds, "exemplar_without_value": rounds,
	}, counted)
	m, err = tel.GetMetric(prefix + "untranslated_batches")
	require.NoError(t, err)
	require.EqualValues(t, rounds, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)

	logged := map[string]any{}
	for _, entry := range logs.FilterMessageSnippet("has no Prometheus translation").All() {
		fields := entry.ContextMap()
		logged[fields["metric"].(string)] = fields["reason"]
	}
	require.Len(t, logged, 4)
	require.Equal(t, 4, logs.FilterMessageSnippet("has no Prometheus translation").Len(), "each once a minute")
	require.Contains(t, logged["a delta"], "deltatocumulative")
	require.Contains(t, logged["ahead"], "look at the clock of its sender")
	require.Equal(t, "an attribute of the data point cannot be a label: an attribute has no name", logged["nameless"])
	require.NoError(t, e.Shutdown(context.Background()))
}

// In the pdata lane, scraped samples have to be in order, as in the native lane, and
// staleness markers may not be late. The endpoint judges all other late samples.
func TestOrderInThePdataLane(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	cfg.Translation.TargetInfo = false
	e, _ := startExporter(t, cfg)
	now := time.Now().Truncate(time.Millisecond)
	send := func(name string, age time.Duration, change func(pmetric.Metric)) {
		require.NoError(t, e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
			addSum(ms, name, pmetric.AggregationTemporalityCumulative, now.Add(-age), 1)
			change(ms.At(0))
		})))
	}
	scraped := func(m pmetric.Metric) { m.Metadata().PutStr("prometheus.type", "counter") }
	otherwise := func(pmetric.Metric) {}
	stale := func(m pmetric.Metric) {
		m.Sum().DataPoints().At(0).SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	}
	for _, age := range []time.Duration{time.Minute, 2 * time.Minute, 0} {
		send("scraped", age, scraped)
		send("otherwise", age, otherwise)
	}
	send("scraped", time.Second, func(m pmetric.Metric) { scraped(m); stale(m) })
	send("otherwise", time.Second, stale)
	sink.waitFor(t, 2+3)
	times := func(name string) (all []time.Duration) {
		for _, s := range sink.series()[fmt.Sprintf(`{__name__=%q, instance="i1", job="shop"}`, name)].samples {
			all = append(all, now.Sub(time.UnixMilli(s.t)))
		}
		return all
	}
	require.Equal(t, []time.Duration{time.Minute, 0}, times("scraped"))
	require.ElementsMatch(t, []time.Duration{time.Minute, 2 * time.Minute, 0}, times("otherwise_total"))
}

// Two scopes with a metric of one name are two series.
func TestScopesAreKeptApart(t *testing.T) {
	sink := newSink(t)
	e, _ := startExporter(t, testConfig(t, sink.url))
	now := time.Now().Truncate(time.Millisecond)
	md := otlp(func(ms pmetric.MetricSlice) { addSum(ms, "x", pmetric.AggregationTemporalityCumulative, now, 1) })
	scopes := md.ResourceMetrics().At(0).ScopeMetrics()
	scopes.At(0).Scope().SetName("one")
	scopes.At(0).CopyTo(scopes.AppendEmpty())
	scopes.At(1).Scope().SetName("two")
	require.NoError(t, e.ConsumeMetrics(context.Background(), md))
	sink.waitFor(t, 3) // and target_info
	for _, scope := range []string{"one", "two"} {
		require.Contains(t, sink.series(), fmt.Sprintf(`{__name__="x_total", instance="i1", job="shop", otel_scope_name=%q}`, scope))
	}
}

func TestAfterShutdown(t *testing.T) {
	sink := newSink(t)
	e, stop := startExporter(t, testConfig(t, sink.url))
	stop()
	err := e.ConsumeMetrics(context.Background(), otlp(func(ms pmetric.MetricSlice) {
		addSum(ms, "x", pmetric.AggregationTemporalityCumulative, time.Now(), 1)
	}))
	require.ErrorIs(t, err, queue.ErrClosed)
}

func TestLifecycleWithoutStart(t *testing.T) {
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoint = "http://localhost/w"
	e, err := NewFactory().CreateMetrics(context.Background(), exportertest.NewNopSettings(ownmetadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Shutdown(context.Background()))
}

// Own metrics may be collected at any time.
func TestOwnMetricsWhileStarting(t *testing.T) {
	sink := newSink(t)
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = tel.GetMetric(prefix + "series") // none before the start
			}
		}
	}()
	for range 5 {
		set := exportertest.NewNopSettings(ownmetadata.Type)
		set.TelemetrySettings = tel.NewTelemetrySettings()
		e, err := newExporter(set, testConfig(t, sink.url))
		require.NoError(t, err)
		require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
		appendN(t, e, 10, 1000, 1)
		require.NoError(t, e.Shutdown(context.Background()))
	}
	close(stop)
	<-done
}

func TestOwnMetrics(t *testing.T) {
	sink := newSink(t)
	cfg := testConfig(t, sink.url)
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := exportertest.NewNopSettings(ownmetadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.ID = component.NewID(ownmetadata.Type)
	e, err := newExporter(set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	appendN(t, e, 100, 1000, 1)
	appendN(t, e, 100, 1000, 1) // all repeated
	appendN(t, e, 100, 1000, 3) // all duplicates
	appendN(t, e, 100, 2000, 2)
	sink.waitFor(t, 200)

	sum := func(name string) (total int64, attrs []string) {
		m, err := tel.GetMetric(name)
		if err != nil {
			return 0, nil // nothing recorded yet
		}
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range data.DataPoints {
				total += p.Value
				attrs = append(attrs, p.Attributes.Encoded(attribute.DefaultEncoder()))
			}
		case metricdata.Gauge[int64]:
			for _, p := range data.DataPoints {
				total += p.Value
			}
		}
		return total, attrs
	}
	require.Eventually(t, func() bool { n, _ := sum("otelcol_exporter_sent_metric_points"); return n == 200 }, time.Minute, 5*time.Millisecond)
	n, attrs := sum(prefix + "dropped_samples")
	require.EqualValues(t, 100, n)
	require.Equal(t, []string{"exporter=prometheus_wal,reason=duplicate"}, attrs)
	for name, want := range map[string]int64{
		prefix + "series": 100, prefix + "shards": 4, prefix + "segments": 1,
		"otelcol_exporter_queue_capacity": 4 * 2 * 5000, "otelcol_exporter_queue_size": 0,
	} {
		n, _ := sum(name)
		require.Equal(t, want, n, name)
	}
	n, _ = sum(prefix + "size")
	require.Greater(t, n, int64(300))
	m, err := tel.GetMetric(prefix + "request_duration")
	require.NoError(t, err)
	require.Equal(t, "s", m.Unit)
	require.NoError(t, e.Shutdown(context.Background()))
}
