package pdatasink

import (
	"context"
	"errors"
	"math"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

const now = 1_700_000_000_123 // milliseconds

var staleNaN = math.Float64frombits(value.StaleNaN)

// store is the metadata of an exposition: the type of each family.
type store map[string]model.MetricType

func (s store) GetMetadata(name string) (scrape.MetricMetadata, bool) {
	mt, ok := s[name]
	return scrape.MetricMetadata{MetricFamily: name, Type: mt}, ok
}
func (store) ListMetadata() []scrape.MetricMetadata { return nil }
func (store) SizeMetadata() int                     { return 0 }
func (store) LengthMetadata() int                   { return 0 }

// bench is a Sink with a target and a consumer that keeps what it gets.
type bench struct {
	*Sink
	next consumertest.MetricsSink
	logs *observer.ObservedLogs
	ctx  context.Context //nolint:containedctx // replaced by tests
}

func newBench(t testing.TB, md store, change ...func(*Settings)) *bench {
	b := &bench{}
	core, logs := observer.New(zap.InfoLevel)
	b.logs = logs
	set := Settings{Next: &b.next, Receiver: upstreamSettings(), ScopeName: "ours"}
	set.Receiver.Logger = zap.New(core)
	set.ObsReport = newObsReport(t, set.Receiver)
	for _, f := range change {
		f(&set)
	}
	var err error
	b.Sink, err = New(set)
	require.NoError(t, err)
	b.ctx = targetContext(t.Context(), md, nil)
	return b
}

func targetContext(ctx context.Context, md store, discovered model.LabelSet) context.Context {
	target := scrape.NewTarget(labels.FromStrings("job", "j", "instance", "host:80"), &config.ScrapeConfig{Scheme: "http"}, discovered, nil)
	return scrape.ContextWithMetricMetadataStore(scrape.ContextWithTarget(ctx, target), md)
}

// appended holds the arguments of one Append.
type appended struct {
	ref       storage.SeriesRef
	labels    labels.Labels
	st, at    int64 // at is now unless set
	v         float64
	h         *histogram.Histogram
	fh        *histogram.FloatHistogram
	exemplars []exemplar.Exemplar
}

// series returns a float sample with pairs of label names and values.
func series(name string, v float64, ls ...string) appended {
	return appended{v: v, labels: labels.FromStrings(append(ls, "__name__", name)...)}
}

// scrape appends and commits, and returns the references with the pdata.
func (b *bench) scrape(t testing.TB, all ...appended) ([]storage.SeriesRef, pmetric.Metrics) {
	b.next.Reset()
	app := b.AppenderV2(b.ctx)
	var refs []storage.SeriesRef
	for _, a := range all {
		if a.at == 0 {
			a.at = now
		}
		ref, err := app.Append(a.ref, a.labels, a.st, a.at, a.v, a.h, a.fh, storage.AOptions{Exemplars: a.exemplars})
		require.NoError(t, err)
		refs = append(refs, ref)
	}
	require.NoError(t, app.Commit())
	if len(b.next.AllMetrics()) == 0 {
		return refs, pmetric.NewMetrics()
	}
	require.Len(t, b.next.AllMetrics(), 1)
	return refs, b.next.AllMetrics()[0]
}

// metrics lists the metrics of all resources and scopes.
func metrics(md pmetric.Metrics) []pmetric.Metric {
	var all []pmetric.Metric
	for _, rm := range md.ResourceMetrics().All() {
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				all = append(all, m)
			}
		}
	}
	return all
}

func names(md pmetric.Metrics) []string {
	var all []string
	for _, m := range metrics(md) {
		all = append(all, m.Type().String()+" "+m.Name())
	}
	return all
}

func TestFamilies(t *testing.T) {
	f := func(md store, all []appended, want ...string) {
		t.Helper()
		_, got := newBench(t, md).scrape(t, all...)
		require.Equal(t, want, names(got))
	}
	// A sample with a suffix is a metric of its own if the declared type has no such part.
	f(store{"a": model.MetricTypeGauge}, []appended{series("a", 1), series("a_count", 2), series("a_bucket", 3)},
		"Gauge a", "Gauge a_count", "Gauge a_bucket")
	f(store{"a": model.MetricTypeCounter}, []appended{series("a", 1), series("a_total", 2)}, "Sum a", "Sum a_total")
	f(store{"a": model.MetricTypeInfo}, []appended{series("a_info", 1), series("a_count", 2)}, "Sum a", "Gauge a_count")
	f(store{"a": model.MetricTypeStateset}, []appended{series("a", 1, "a", "x")}, "Sum a")
	// The other parts of a gauge histogram are separate from its buckets.
	f(store{"a": model.MetricTypeGaugeHistogram}, []appended{series("a_bucket", 1, "le", "1"), series("a_count", 2), series("a_sum", 3)},
		"Gauge a", "Gauge a_count", "Gauge a_sum")
	// Names that end like those of a part.
	f(store{"a_count": model.MetricTypeSummary}, []appended{
		series("a_count", 1, "quantile", "0.5"), series("a_count_sum", 2), series("a_count_count", 3),
	}, "Summary a_count")
	f(store{"a_count": model.MetricTypeSummary, "a_sum": model.MetricTypeSummary}, []appended{series("a_count", 1), series("a_sum", 2)},
		"Summary a_count")
	f(nil, []appended{series("_total", 1), series("_bucket", 2)}, "Gauge _total", "Gauge _bucket")
	// Report series of Prometheus, whatever the target declares about them.
	f(store{"up": model.MetricTypeCounter}, []appended{series("up", 1)}, "Gauge up")
}

// If a TYPE line follows the first sample, the family begins as another metric.
func TestTypeAfterSample(t *testing.T) {
	md := store{}
	b := newBench(t, md)
	app := b.AppenderV2(b.ctx)
	add := func(a appended) {
		t.Helper()
		_, err := app.Append(0, a.labels, 0, now, a.v, a.h, nil, storage.AOptions{})
		require.NoError(t, err)
	}
	add(series("a", 1))
	md["a"] = model.MetricTypeHistogram
	add(series("a_bucket", 2, "le", "1"))
	add(series("a_count", 2))
	// One name in two native forms.
	add(appended{labels: series("a", 0).labels, h: &histogram.Histogram{Count: 1}})
	add(appended{labels: series("a", 0, "k", "v").labels, h: &histogram.Histogram{Count: 1, Schema: histogram.CustomBucketsSchema}})
	require.NoError(t, app.Commit())
	require.Equal(t, []string{"Gauge a", "Histogram a", "ExponentialHistogram a", "Histogram a"}, names(b.next.AllMetrics()[0]))
}

func TestStartTimestamps(t *testing.T) {
	const st = 1_600_000_000_001
	md := store{
		"c_total": model.MetricTypeCounter, "g": model.MetricTypeGauge, "h": model.MetricTypeHistogram,
		"s": model.MetricTypeSummary, "om": model.MetricTypeCounter,
	}
	created := func(a appended) appended { a.st = st; return a }
	f := func(all []appended, start func(pmetric.Metric) pcommon.Timestamp, want int64) {
		t.Helper()
		_, got := newBench(t, md).scrape(t, all...)
		require.Len(t, metrics(got), 1)
		require.Equal(t, pcommon.Timestamp(want), start(metrics(got)[0]))
	}
	sum := func(m pmetric.Metric) pcommon.Timestamp { return m.Sum().DataPoints().At(0).StartTimestamp() }
	gauge := func(m pmetric.Metric) pcommon.Timestamp { return m.Gauge().DataPoints().At(0).StartTimestamp() }
	hist := func(m pmetric.Metric) pcommon.Timestamp { return m.Histogram().DataPoints().At(0).StartTimestamp() }
	summary := func(m pmetric.Metric) pcommon.Timestamp { return m.Summary().DataPoints().At(0).StartTimestamp() }
	exponential := func(m pmetric.Metric) pcommon.Timestamp {
		return m.ExponentialHistogram().DataPoints().At(0).StartTimestamp()
	}

	f([]appended{created(series("c_total", 1))}, sum, st*1e6)
	f([]appended{created(series("g", 1))}, gauge, 0)
	f([]appended{created(series("h_bucket", 1, "le", "1")), created(series("h_count", 1))}, hist, st*1e6)
	f([]appended{created(series("s_count", 1))}, summary, st*1e6)
	f([]appended{created(appended{labels: series("h", 0).labels, h: &histogram.Histogram{}})}, exponential, st*1e6)
	f([]appended{created(appended{labels: series("h", 0).labels, fh: &histogram.FloatHistogram{Schema: histogram.CustomBucketsSchema}})}, hist, st*1e6)
	// Values of _created samples are floats.
	f([]appended{series("om_total", 1), series("om_created", 1.5e9+0.25)}, sum, 1_500_000_000_250_000_000)
	f([]appended{series("om_created", 1.5e9, "k", "unused"), series("om_total", 1)}, sum, 0)
	f([]appended{series("h_created", 1.5e9), series("h_count", 1)}, hist, 1.5e18)
	f([]appended{series("s_created", 1.5e9), series("s_count", 1)}, summary, 1.5e18)
	// A staleness marker of a _created series sets the start of a stale point.
	f([]appended{series("om_total", staleNaN), series("om_created", staleNaN)}, sum, now*1e6)
	f([]appended{series("om_total", 1), series("om_created", staleNaN)}, sum, 0)
}

func TestExemplars(t *testing.T) {
	f := func(name, v, wantTrace, wantSpan string, wantAttributes map[string]any) {
		t.Helper()
		// External labels must not separate an exemplar from its point.
		b := newBench(t, nil, func(s *Settings) { s.ExternalLabels = labels.FromStrings("zone", "z") })
		a := series("a", 1, "job", "j", "instance", "i")
		a.exemplars = []exemplar.Exemplar{{Labels: labels.FromStrings(name, v), Value: 2, Ts: 3}}
		_, got := b.scrape(t, a)
		p := metrics(got)[0].Gauge().DataPoints().At(0)
		require.Equal(t, map[string]any{"zone": "z"}, p.Attributes().AsRaw())
		require.Equal(t, 1, p.Exemplars().Len())
		e := p.Exemplars().At(0)
		require.InDelta(t, 2, e.DoubleValue(), 0)
		require.Equal(t, pcommon.Timestamp(3e6), e.Timestamp())
		require.Equal(t, wantTrace, e.TraceID().String())
		require.Equal(t, wantSpan, e.SpanID().String())
		require.Equal(t, wantAttributes, e.FilteredAttributes().AsRaw())
	}
	f("trace_id", "0102030405060708090a0b0c0d0e0f10", "0102030405060708090a0b0c0d0e0f10", "", map[string]any{})
	f("TRACE_ID", "090a0b0c0d0e0f10", "0000000000000000090a0b0c0d0e0f10", "", map[string]any{})
	f("trace_id", "0102030405060708090a0b0c0d0e0f10ffff", "0102030405060708090a0b0c0d0e0f10", "", map[string]any{})
	f("trace_id", "123", "", "", map[string]any{"trace_id": "123"})
	f("span_id", "0102030405060708", "", "0102030405060708", map[string]any{})
	f("span_id", "nothex", "", "", map[string]any{"span_id": "nothex"})
	f("user", "ann", "", "", map[string]any{"user": "ann"})
}

func TestResources(t *testing.T) {
	f := func(instance string, discovered model.LabelSet, want map[string]any) {
		t.Helper()
		b := newBench(t, nil)
		b.ctx = targetContext(t.Context(), nil, discovered)
		_, got := b.scrape(t, series("a", 1, "instance", instance))
		want["service.name"], want["service.instance.id"], want["url.scheme"] = "j", instance, "http"
		require.Equal(t, want, got.ResourceMetrics().At(0).Resource().Attributes().AsRaw())
	}
	f("db:5432", nil, map[string]any{"server.address": "db", "server.port": "5432"})
	f("db", nil, map[string]any{"server.address": "db", "server.port": ""})
	f("[::1]:80", nil, map[string]any{"server.port": "80"})
	f("0.0.0.0:80", nil, map[string]any{"server.port": "80"})
	f("localhost:80", nil, map[string]any{"server.port": "80"})
	f("10.0.0.1:80", nil, map[string]any{"server.address": "10.0.0.1", "server.port": "80"})
	f("db", model.LabelSet{"__meta_kubernetes_endpoint_node_name": "n"},
		map[string]any{"server.address": "db", "server.port": "", "k8s.node.name": "n"})
	for kind, attribute := range controllerNames {
		f("db", model.LabelSet{"__meta_kubernetes_pod_controller_kind": model.LabelValue(kind), "__meta_kubernetes_pod_controller_name": "x"},
			map[string]any{"server.address": "db", "server.port": "", attribute: "x"})
	}
	f("db", model.LabelSet{"__meta_kubernetes_pod_controller_kind": "Other", "__meta_kubernetes_pod_controller_name": "x"},
		map[string]any{"server.address": "db", "server.port": ""})
}

func TestReferences(t *testing.T) {
	b := newBench(t, store{"h": model.MetricTypeHistogram})
	first := []appended{
		series("a", 1), series("a", 1, "k", "v"), series("target_info", 1, "k", "v"), series("h_bucket", 1),
		series("a", 2), {labels: series("a", 0).labels, at: now + 1},
		{labels: series("h", 0).labels, h: &histogram.Histogram{}},
	}
	refs, _ := b.scrape(t, first...)
	require.NotContains(t, refs, storage.SeriesRef(0), "also for attributes and what is dropped: they are no new series at each scrape")
	require.Equal(t, refs[0], refs[4])
	require.Equal(t, refs[0], refs[5])
	require.NotEqual(t, refs[0], refs[1])

	repeated := first
	for i := range repeated {
		repeated[i].ref = refs[i]
	}
	second, _ := b.scrape(t, repeated...)
	require.Equal(t, refs, second)
	// A staleness marker of target_info does not set attributes.
	_, got := b.scrape(t, series("a", 1), appended{ref: refs[2], labels: series("target_info", 1, "k", "v").labels, v: staleNaN})
	_, described := got.ResourceMetrics().At(0).Resource().Attributes().Get("k")
	require.False(t, described)
	// A series keeps its reference when its kind changes: with a new reference, Prometheus
	// would mark the old series stale.
	refs, _ = b.scrape(t, appended{labels: series("h", 0).labels, ref: refs[6], h: &histogram.Histogram{Schema: histogram.CustomBucketsSchema}})
	require.Equal(t, second[6], refs[0])
}

func TestAppendErrors(t *testing.T) {
	b := newBench(t, nil)
	f := func(ctx context.Context, ls labels.Labels, want string) {
		t.Helper()
		app := b.AppenderV2(ctx)
		_, err := app.Append(0, ls, 0, now, 1, nil, nil, storage.AOptions{})
		require.ErrorContains(t, err, want)
		require.NoError(t, app.Rollback())
	}
	fine := series("a", 1).labels
	cancelled, cancel := context.WithCancel(b.ctx)
	cancel()
	f(cancelled, fine, "scrape cancelled")
	f(context.Background(), fine, errNoMetadata.Error())
	f(scrape.ContextWithMetricMetadataStore(context.Background(), store{}), fine, errNoTarget.Error())
	f(b.ctx, labels.FromStrings("a", "b"), errNoName.Error())
	f(b.ctx, labels.FromStrings("__name__", "a", "k", "1", "k", "2"), `label "k" occurs twice`)
	nameless := scrape.ContextWithTarget(b.ctx, scrape.NewTarget(labels.EmptyLabels(), &config.ScrapeConfig{}, nil, nil))
	f(nameless, labels.FromStrings("__name__", "a", "job", "j"), errNoIdentity.Error())
}

func TestCommit(t *testing.T) {
	// A scrape without points is not sent, which is not an error.
	b := newBench(t, store{"h": model.MetricTypeHistogram})
	_, got := b.scrape(t)
	require.Zero(t, got.ResourceMetrics().Len())
	_, got = b.scrape(t, series("target_info", 1), series("h_sum", 1))
	require.Zero(t, got.ResourceMetrics().Len())

	// The next scrape starts empty.
	app := b.AppenderV2(b.ctx)
	_, err := app.Append(0, series("lost", 1, "otel_scope_name", "lost").labels, 0, now, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, app.Rollback())
	_, got = b.scrape(t, series("kept", 1), series("kept", 1, "job", "only target_info", "otel_scope_name", "s"), series("h_sum", 1, "job", "empty"))
	require.Equal(t, []string{"Gauge kept", "Gauge kept"}, names(got))
	require.Equal(t, 2, got.ResourceMetrics().Len())
	scope := got.ResourceMetrics().At(0).ScopeMetrics().At(0).Scope()
	require.Equal(t, "ours 1.2.3", scope.Name()+" "+scope.Version())

	refused := errors.New("refused")
	b = newBench(t, nil, func(s *Settings) { s.Next = consumertest.NewErr(refused) })
	app = b.AppenderV2(b.ctx)
	_, err = app.Append(0, series("a", 1).labels, 0, now, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.ErrorIs(t, app.Commit(), refused)
	require.NoError(t, app.Rollback()) // has no effect after Commit
}

func TestTargetDownIsLogged(t *testing.T) {
	f := func(up float64, want ...string) {
		t.Helper()
		b := newBench(t, nil)
		_, got := b.scrape(t, series("up", up))
		require.Equal(t, 1, got.DataPointCount())
		var messages []string
		for _, entry := range b.logs.All() {
			messages = append(messages, entry.Message)
		}
		require.Equal(t, want, messages)
	}
	f(1)
	f(staleNaN)
	f(0, "target is down")
	f(2, "target has an up that is neither 0 nor 1")
}

func TestOversizedWorkspaceIsNotKept(t *testing.T) {
	w := newWorkspace()
	var c chain
	for range 20_000 {
		w.points.add(&c, point{})
	}
	require.True(t, w.reset())
	require.False(t, w.reset(), "it served an empty scrape")
}

func TestFromSeconds(t *testing.T) {
	f := func(s float64, want pcommon.Timestamp) {
		t.Helper()
		require.Equal(t, want, fromSeconds(s))
	}
	f(1.5, 1_500_000_000)
	f(0, 0)
	f(-1, 0)
	f(math.NaN(), 0)
}
