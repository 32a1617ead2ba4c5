package prometheusscrapereceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.yaml.in/yaml/v2"

	"github.com/invar-otel/invar/internal/promlane"
	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadata"
)

func toYAML(t testing.TB, conf *confmap.Conf) string {
	t.Helper()
	out, err := yaml.Marshal(conf.ToStringMap())
	require.NoError(t, err)
	return string(out)
}

// sink is an exporter that keeps native samples.
type sink struct {
	component.Component
	mu     sync.Mutex
	points map[string][]float64
	names  map[storage.SeriesRef]string
	refuse error
}

func newSink() *sink {
	return &sink{points: map[string][]float64{}, names: map[storage.SeriesRef]string{}}
}

func (s *sink) AcceptsNativeSamples() {}

func (s *sink) AppenderV2(context.Context) storage.AppenderV2 { return &sinkAppender{sink: s} }

func (s *sink) get(series string) []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]float64(nil), s.points[series]...)
}

type sinkAppender struct {
	*sink
	names  []string
	values []float64
}

func (a *sinkAppender) Append(ref storage.SeriesRef, ls labels.Labels, _, _ int64, v float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ls.IsEmpty() && a.sink.names[ref] == "" {
		return 0, promlane.ErrUnknownRef
	}
	if !ls.IsEmpty() {
		ref = storage.SeriesRef(ls.Hash())
		a.sink.names[ref] = ls.String()
	}
	a.names, a.values = append(a.names, a.sink.names[ref]), append(a.values, v)
	return ref, nil
}

func (a *sinkAppender) Commit() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refuse != nil {
		return a.refuse
	}
	for i, name := range a.names {
		a.points[name] = append(a.points[name], a.values[i])
	}
	return nil
}

func (a *sinkAppender) Rollback() error { return nil }

// nativeHost is a host with one exporter that records status events.
type nativeHost struct {
	component.Host
	exporter component.Component
	mu       sync.Mutex
	events   []*componentstatus.Event
}

func newHost(e component.Component) *nativeHost {
	return &nativeHost{Host: componenttest.NewNopHost(), exporter: e}
}

func (h *nativeHost) GetExporters() map[pipeline.Signal]map[component.ID]component.Component {
	return map[pipeline.Signal]map[component.ID]component.Component{
		pipeline.SignalMetrics: {component.MustNewID("prometheus_wal"): h.exporter},
	}
}

func (h *nativeHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *nativeHost) statuses() (out []componentstatus.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		out = append(out, e.Status())
	}
	return out
}

func target(t testing.TB, body func() string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(body()))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func start(t testing.TB, set receiver.Settings, host component.Host, text string) receiver.Metrics {
	t.Helper()
	cfg, err := parseConfig(t, text)
	require.NoError(t, err)
	r, err := NewFactory().CreateMetrics(context.Background(), set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), host))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return r
}

func TestNativeLane(t *testing.T) {
	var scrapes atomic.Int64
	addr := target(t, func() string {
		if n := scrapes.Add(1); n < 3 {
			return "# TYPE gone counter\ngone 1\nstays{l=\"é\"} 2\n"
		}
		return "stays{l=\"é\"} 3\n"
	})
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	s := newSink()
	r := start(t, set, newHost(s), fmt.Sprintf(`
lane: native
native_exporters: [prometheus_wal]
config:
  global: {scrape_interval: 500ms, scrape_timeout: 500ms, external_labels: {cluster: c}}
  scrape_configs: [{job_name: j, static_configs: [{targets: ['%s']}]}]
`, addr))
	name := func(metric, more string) string {
		return fmt.Sprintf(`{__name__="%s", cluster="c", instance="%s", job="j"%s}`, metric, addr, more)
	}
	require.Eventually(t, func() bool { return len(s.get(name("stays", `, l="é"`))) >= 4 }, time.Minute, 5*time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))

	gone := s.get(name("gone", ""))
	require.Len(t, gone, 3)
	require.True(t, value.IsStaleNaN(gone[2]), "a series that disappears ends with a staleness marker")
	require.InDelta(t, 3, s.get(name("stays", `, l="é"`))[3], 0)
	require.InDelta(t, 1, s.get(name("up", ""))[0], 0)
	for _, m := range []string{"scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling", "scrape_series_added"} {
		require.NotEmpty(t, s.get(name(m, "")), m)
	}

	total := 0
	s.mu.Lock()
	for _, v := range s.points {
		total += len(v)
	}
	s.mu.Unlock()
	accepted, err := tel.GetMetric("otelcol_receiver_accepted_metric_points")
	require.NoError(t, err)
	sum := accepted.Data.(metricdata.Sum[int64])
	require.EqualValues(t, total, sum.DataPoints[0].Value)
}

// Samples that no exporter accepts count as refused.
func TestRefusedIsCounted(t *testing.T) {
	addr := target(t, func() string { return "x 1\n" })
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := receivertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	refusing := newSink()
	refusing.refuse = errors.New("full")
	start(t, set, newHost(refusing), fmt.Sprintf(`
lane: native
native_exporters: [prometheus_wal]
config: {scrape_configs: [{job_name: j, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{targets: ['%s']}]}]}
`, addr))
	require.Eventually(t, func() bool {
		m, err := tel.GetMetric("otelcol_receiver_refused_metric_points")
		return err == nil && m.Data.(metricdata.Sum[int64]).DataPoints[0].Value >= 6
	}, time.Minute, 5*time.Millisecond)
}

func TestNativeLaneNeedsItsExporters(t *testing.T) {
	cfg, err := parseConfig(t, "lane: native\nnative_exporters: [prometheus_wal]\nconfig: {scrape_configs: [{job_name: j}]}")
	require.NoError(t, err)
	r, err := NewFactory().CreateMetrics(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	err = r.Start(context.Background(), newHost(struct{ component.Component }{}))
	require.EqualError(t, err, `lane: native: exporter "prometheus_wal" does not take native samples`)
	require.NoError(t, r.Shutdown(context.Background()))
}

func TestPdataLane(t *testing.T) {
	addr := target(t, func() string { return "# TYPE x gauge\nx 1\n" })
	cfg, err := parseConfig(t, fmt.Sprintf(`config: {scrape_configs: [{job_name: j, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{targets: ['%s']}]}]}`, addr))
	require.NoError(t, err)
	next := new(consumertest.MetricsSink)
	r, err := NewFactory().CreateMetrics(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(context.Background(), componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return next.DataPointCount() >= 12 }, time.Minute, 5*time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))
	rm := next.AllMetrics()[0].ResourceMetrics().At(0)
	job, _ := rm.Resource().Attributes().Get("service.name")
	require.Equal(t, "j", job.Str())
	require.Equal(t, metadata.ScopeName, rm.ScopeMetrics().At(0).Scope().Name())
}

func TestShutdownWithoutStart(t *testing.T) {
	cfg, err := parseConfig(t, "config: {scrape_configs: [{job_name: j}]}")
	require.NoError(t, err)
	r, err := NewFactory().CreateMetrics(context.Background(), receivertest.NewNopSettings(metadata.Type), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(context.Background()))
}

// Changes of scrape_config_files and of files of file_sd_configs are applied.
func TestFilesAreFollowed(t *testing.T) {
	dir := t.TempDir()
	addr := target(t, func() string { return "x 1\n" })
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tmp"), []byte(text), 0o600))
		require.NoError(t, os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, name)))
	}
	job := func(name string) string {
		return fmt.Sprintf("scrape_configs: [{job_name: %s, scrape_interval: 500ms, scrape_timeout: 500ms, file_sd_configs: [{files: ['%s/targets.json']}]}]", name, dir)
	}
	write("jobs.yml", job("one"))
	write("targets.json", fmt.Sprintf(`[{"targets": ["%s"], "labels": {"v": "1"}}]`, addr))
	s := newSink()
	host := newHost(s)
	r := start(t, receivertest.NewNopSettings(metadata.Type), host, fmt.Sprintf(`
lane: native
native_exporters: [prometheus_wal]
config_files_interval: 1h
config: {scrape_config_files: ['%s/*.yml']}
`, dir)).(*scrapeReceiver)
	arrives := func(job, v string) {
		t.Helper()
		name := fmt.Sprintf(`{__name__="x", instance="%s", job="%s", v="%s"}`, addr, job, v)
		n := len(s.get(name))
		require.Eventually(t, func() bool { return len(s.get(name)) > n }, time.Minute, 10*time.Millisecond, name)
	}
	arrives("one", "1")

	write("jobs.yml", "scrape_configs: [{job_name: two, scrape_interval: x}]")
	r.reload.check()
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, host.statuses())
	arrives("one", "1")
	r.reload.check() // unchanged: not reported again
	write("jobs.yml", job("two"))
	r.reload.check()
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, host.statuses())
	arrives("two", "1")
	write("targets.json", fmt.Sprintf(`[{"targets": ["%s"], "labels": {"v": "2"}}]`, addr))
	arrives("two", "2")
}
