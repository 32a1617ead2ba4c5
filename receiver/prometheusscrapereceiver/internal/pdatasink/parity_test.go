package pdatasink

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/scrape"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/prototext"
)

const upstreamScope = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"

// parityCase is scraped twice: by the receiver of opentelemetry-collector-contrib
// and by a scrape manager that appends to a Sink.
type parityCase struct {
	steps  []string // one for each scrape: a file in testdata or an HTTP status
	job    map[string]any
	global map[string]any
	target map[string]any // labels
	trim   bool
	except []string // metrics that differ on purpose
}

// TestParity compares the results of upstream's receiver and this package for the same
// scrapes. Deliberate differences are excluded here and tested in sink_test.go.
func TestParity(t *testing.T) {
	type m = map[string]any
	for name, c := range map[string]parityCase{
		"text":         {steps: []string{"text.txt"}},
		"text trimmed": {steps: []string{"text.txt"}, trim: true},
		// The type of queue_gcount and queue_gsum is that of queue.
		"openmetrics":        {steps: []string{"openmetrics.om"}, except: []string{"queue_gcount", "queue_gsum"}},
		"openmetrics trim":   {steps: []string{"openmetrics.om"}, trim: true, except: []string{"queue_gcount", "queue_gsum"}},
		"target_info":        {steps: []string{"target_info.txt"}},
		"scopes":             {steps: []string{"scopes.txt", "scopes.txt"}},
		"utf8":               {steps: []string{"utf8.txt"}},
		"timestamps":         {steps: []string{"timestamps.txt"}, except: []string{"same", "differs"}}, // see TestSeveralTimes
		"timestamps ignored": {steps: []string{"timestamps.txt"}, job: m{"honor_timestamps": false}},
		"duplicate label":    {steps: []string{"duplicate_label.txt"}},
		"external labels": {
			steps: []string{"text.txt", "stale2.txt"}, global: m{"external_labels": m{"zone": "z1", "path": "external"}},
			except: []string{"latency_seconds"}, // the label path distinguishes two histograms
		},
		"extra metrics": {steps: []string{"target_info.txt"}, job: m{"extra_scrape_metrics": true, "sample_limit": 100}},
		"sample limit":  {steps: []string{"text.txt"}, job: m{"sample_limit": 3}},
		"staleness":     {steps: []string{"stale1.txt", "stale2.txt", "stale1.txt"}},
		"failure":       {steps: []string{"stale1.txt", "500", "stale1.txt"}},
		"never up":      {steps: []string{"500"}},
		"federation":    {steps: []string{"federate.txt", "stale2.txt"}, job: m{"honor_labels": true}},
		"pod": {steps: []string{"stale2.txt"}, target: m{
			"__meta_kubernetes_pod_name": "p", "__meta_kubernetes_pod_uid": "u", "__meta_kubernetes_pod_container_name": "c",
			"__meta_kubernetes_namespace": "ns", "__meta_kubernetes_pod_node_name": "n",
			"__meta_kubernetes_pod_controller_name": "rs", "__meta_kubernetes_pod_controller_kind": "ReplicaSet", "team": "blue",
		}},
		"instance label": {steps: []string{"stale2.txt"}, target: m{"instance": "db.example.com:5432"}},
		"collapsed": {
			steps: []string{"text.txt"},
			job:   m{"metric_relabel_configs": []any{m{"action": "labeldrop", "regex": "code|room|path"}}},
			// The first sample counts, not the last: see TestLosses.
			except: []string{"latency_seconds", "http_requests_total", "temperature_celsius", "rpc_seconds"},
		},
		"nhcb": {
			steps: []string{"nhcb.txt", "nhcb.txt"}, job: m{"convert_classic_histograms_to_nhcb": true},
			except: []string{"float_seconds"}, // its count is that of its buckets
		},
		"nhcb openmetric": {
			steps: []string{"openmetrics.om"}, job: m{"convert_classic_histograms_to_nhcb": true},
			except: []string{"queue_gcount", "queue_gsum"},
		},
		"native": {
			steps: []string{"native.prototext"}, job: m{"scrape_native_histograms": true},
			except: []string{"depth"}, // its type is gaugehistogram
		},
		"native and classic": {steps: []string{"native.prototext"}, job: m{
			"scrape_native_histograms": true, "always_scrape_classic_histograms": true,
		}, except: []string{"depth"}},
		"protobuf": {steps: []string{"native.prototext"}, except: []string{"depth", "depth_count", "depth_sum"}},
		"native staleness": {
			steps: []string{"native.prototext", "native_less.prototext"}, job: m{"scrape_native_histograms": true},
			except: []string{"depth"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := scrapeWithUpstream(t, &c)
			got := scrapeWithSink(t, &c)
			for i := range c.steps {
				require.NotZero(t, want[i].DataPointCount())
				require.Equal(t, canonical(want[i], c.except), canonical(got[i], c.except), "scrape %d", i)
			}
		})
	}
}

func scrapeWithUpstream(t *testing.T, c *parityCase) []pmetric.Metrics {
	factory := prometheusreceiver.NewFactory()
	cfg := c.config(t)
	sink := new(consumertest.MetricsSink)
	r, err := factory.CreateMetrics(t.Context(), upstreamSettings(), cfg, sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, r.Shutdown(context.Background())) }()
	return waitForScrapes(t, sink, len(c.steps))
}

func scrapeWithSink(t *testing.T, c *parityCase) []pmetric.Metrics {
	cfg := promconfig.Config(*c.config(t).PrometheusConfig)
	next := new(consumertest.MetricsSink)
	set := upstreamSettings()
	sink, err := New(Settings{
		Next: next, Receiver: set, ScopeName: upstreamScope, ObsReport: newObsReport(t, set),
		ExternalLabels: cfg.GlobalConfig.ExternalLabels, TrimMetricSuffixes: c.trim,
	})
	require.NoError(t, err)
	manager, err := scrape.NewManager(&scrape.Options{
		PassMetadataInContext: true, AppendMetadata: true, DiscoveryReloadOnStartup: true,
	}, nil, nil, nil, sink, prometheus.NewRegistry())
	require.NoError(t, err)
	require.NoError(t, manager.ApplyConfig(&cfg))

	groups := map[string][]*targetgroup.Group{}
	for _, sc := range cfg.ScrapeConfigs {
		for _, sd := range sc.ServiceDiscoveryConfigs {
			groups[sc.JobName] = append(groups[sc.JobName], sd.(discovery.StaticConfig)...)
		}
	}
	targets := make(chan map[string][]*targetgroup.Group, 1)
	targets <- groups
	done := make(chan error)
	go func() { done <- manager.Run(targets) }()
	defer func() {
		manager.Stop()
		require.NoError(t, <-done)
	}()
	return waitForScrapes(t, next, len(c.steps))
}

// config starts a server for the case and returns the configuration of upstream's receiver
// that scrapes it.
func (c *parityCase) config(t *testing.T) *prometheusreceiver.Config {
	job := map[string]any{
		"job_name": "parity", "scrape_interval": "600ms", "scrape_timeout": "600ms",
		"static_configs": []any{map[string]any{"targets": []any{c.serve(t)}, "labels": c.target}},
	}
	maps.Copy(job, c.job)
	prom := map[string]any{"scrape_configs": []any{job}}
	if c.global != nil {
		prom["global"] = c.global
	}
	cfg := prometheusreceiver.NewFactory().CreateDefaultConfig().(*prometheusreceiver.Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"config": prom, "trim_metric_suffixes": c.trim, "discovery_reload_on_startup": true,
	}).Unmarshal(cfg))
	require.NoError(t, cfg.PrometheusConfig.Validate())
	return cfg
}

// serve starts a server that answers with the steps in turn, and then with the last one. It
// returns the address.
func (c *parityCase) serve(t *testing.T) string {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		step := c.steps[min(int(requests.Add(1)), len(c.steps))-1]
		var status int
		if _, err := fmt.Sscanf(step, "%d", &status); err == nil {
			w.WriteHeader(status)
			return
		}
		body, contentType := exposition(t, step)
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(body)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func exposition(t *testing.T, file string) (body []byte, contentType string) {
	body, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	switch filepath.Ext(file) {
	case ".om":
		return body, "application/openmetrics-text; version=1.0.0; charset=utf-8"
	case ".prototext":
		var encoded bytes.Buffer
		for text := range strings.SplitSeq(string(body), "---\n") {
			var mf dto.MetricFamily
			require.NoError(t, prototext.Unmarshal([]byte(text), &mf))
			_, err := protodelim.MarshalTo(&encoded, &mf)
			require.NoError(t, err)
		}
		return encoded.Bytes(), "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	}
	return body, "text/plain; version=0.0.4; charset=utf-8"
}

func waitForScrapes(t *testing.T, sink *consumertest.MetricsSink, n int) []pmetric.Metrics {
	require.Eventually(t, func() bool { return len(sink.AllMetrics()) >= n }, time.Minute, 20*time.Millisecond)
	return sink.AllMetrics()[:n]
}

func upstreamSettings() receiver.Settings {
	set := receivertest.NewNopSettings(prometheusreceiver.NewFactory().Type())
	set.BuildInfo.Version = "1.2.3"
	return set
}

func newObsReport(t testing.TB, set receiver.Settings) *receiverhelper.ObsReport {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "http", ReceiverCreateSettings: set,
	})
	require.NoError(t, err)
	return obs
}

// canonical renders md without an arbitrary order and without what differs between scrapes:
// the port, the duration, and times after this test was written.
func canonical(md pmetric.Metrics, except []string) string {
	c := pmetric.NewMetrics()
	md.CopyTo(c)
	for _, rm := range c.ResourceMetrics().All() {
		attributes := rm.Resource().Attributes()
		if v, _ := attributes.Get("service.instance.id"); strings.HasPrefix(v.Str(), "127.0.0.1:") {
			attributes.PutStr("service.instance.id", "127.0.0.1")
			attributes.PutStr("server.port", "")
		}
		sortMap(attributes)
		for _, sm := range rm.ScopeMetrics().All() {
			sortMap(sm.Scope().Attributes())
			sm.Metrics().RemoveIf(func(m pmetric.Metric) bool { return slices.Contains(except, m.Name()) })
			for _, m := range sm.Metrics().All() {
				canonicalPoints(m)
			}
			sm.Metrics().Sort(func(a, b pmetric.Metric) bool {
				return cmp.Or(cmp.Compare(a.Name(), b.Name()), cmp.Compare(a.Type(), b.Type()), cmp.Compare(render(a), render(b))) < 0
			})
		}
		rm.ScopeMetrics().Sort(func(a, b pmetric.ScopeMetrics) bool { return scopeText(a) < scopeText(b) })
	}
	c.ResourceMetrics().Sort(func(a, b pmetric.ResourceMetrics) bool {
		return fmt.Sprint(a.Resource().Attributes().AsRaw()) < fmt.Sprint(b.Resource().Attributes().AsRaw())
	})
	var text strings.Builder
	for _, rm := range c.ResourceMetrics().All() {
		fmt.Fprintln(&text, "resource", rm.SchemaUrl(), rm.Resource().Attributes().AsRaw())
		for _, sm := range rm.ScopeMetrics().All() {
			fmt.Fprintln(&text, " scope", scopeText(sm))
			for _, m := range sm.Metrics().All() {
				fmt.Fprintln(&text, "  ", render(m))
			}
		}
	}
	return text.String()
}

func scopeText(sm pmetric.ScopeMetrics) string {
	return fmt.Sprint(sm.Scope().Name(), " ", sm.Scope().Version(), " ", sm.SchemaUrl(), " ", sm.Scope().Attributes().AsRaw())
}

func render(m pmetric.Metric) string {
	md := pmetric.NewMetrics()
	m.CopyTo(md.ResourceMetrics().AppendEmpty().ScopeMetrics().AppendEmpty().Metrics().AppendEmpty())
	text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(md)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// dataPoint has the methods that all point types share.
type dataPoint interface {
	Attributes() pcommon.Map
	Timestamp() pcommon.Timestamp
	SetTimestamp(pcommon.Timestamp)
	StartTimestamp() pcommon.Timestamp
	SetStartTimestamp(pcommon.Timestamp)
}

func canonicalPoint[P dataPoint](p P) {
	sortMap(p.Attributes())
	p.SetTimestamp(withoutNow(p.Timestamp()))
	// Upstream converts start times to float and loses nanoseconds.
	p.SetStartTimestamp((p.StartTimestamp() + 500_000) / 1_000_000 * 1_000_000)
}

func canonicalExemplars(exemplars pmetric.ExemplarSlice) {
	for _, e := range exemplars.All() {
		sortMap(e.FilteredAttributes())
		e.SetTimestamp(withoutNow(e.Timestamp()))
	}
}

func canonicalPoints(m pmetric.Metric) {
	// Upstream does not restore expositions.
	m.Metadata().RemoveIf(func(key string, _ pcommon.Value) bool { return strings.HasPrefix(key, "invar.") })
	sortMap(m.Metadata())
	var numbers pmetric.NumberDataPointSlice
	switch m.Type() {
	case pmetric.MetricTypeGauge:
		numbers = m.Gauge().DataPoints()
	case pmetric.MetricTypeSum:
		numbers = m.Sum().DataPoints()
	case pmetric.MetricTypeSummary:
		for _, p := range m.Summary().DataPoints().All() {
			canonicalPoint(p)
		}
		m.Summary().DataPoints().Sort(earlier)
		return
	case pmetric.MetricTypeHistogram:
		for _, p := range m.Histogram().DataPoints().All() {
			canonicalPoint(p)
			canonicalExemplars(p.Exemplars())
		}
		m.Histogram().DataPoints().Sort(earlier)
		return
	case pmetric.MetricTypeExponentialHistogram:
		for _, p := range m.ExponentialHistogram().DataPoints().All() {
			canonicalPoint(p)
			canonicalExemplars(p.Exemplars())
		}
		m.ExponentialHistogram().DataPoints().Sort(earlier)
		return
	}
	for _, p := range numbers.All() {
		canonicalPoint(p)
		canonicalExemplars(p.Exemplars())
		if m.Name() == "scrape_duration_seconds" || m.Name() == "scrape_duration" {
			p.SetDoubleValue(0)
		}
	}
	numbers.Sort(earlier)
}

func earlier[P dataPoint](a, b P) bool {
	return fmt.Sprint(a.Attributes().AsRaw()) < fmt.Sprint(b.Attributes().AsRaw())
}

func withoutNow(ts pcommon.Timestamp) pcommon.Timestamp {
	if ts.AsTime().After(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)) {
		return 1
	}
	return ts
}

func sortMap(m pcommon.Map) {
	raw := m.AsRaw()
	m.Clear()
	for _, k := range slices.Sorted(maps.Keys(raw)) {
		m.PutStr(k, raw[k].(string))
	}
}
