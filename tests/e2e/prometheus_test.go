package e2e

import (
	"fmt"
	"math"
	"net/http"
	"sort"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// metricsTimeout is how long a metric may take until a query returns it.
const metricsTimeout = 30 * time.Second

// value queries Prometheus until it returns one series.
func value(t *testing.T, p *harness.PrometheusServer, promql string) float64 {
	t.Helper()
	var got float64
	harness.Eventually(t, metricsTimeout, func() error {
		vector, err := p.Query(promql)
		if err != nil {
			return err
		}
		if len(vector) != 1 {
			return fmt.Errorf("query %s: got %d series, want 1: %v", promql, len(vector), vector)
		}
		got = float64(vector[0].Value)
		return nil
	})
	return got
}

// TestMetricsToPrometheus sends the SDK's metrics to a real Prometheus through the
// upstream remote-write exporter and through its OTLP endpoint, and queries every value
// from both.
func TestMetricsToPrometheus(t *testing.T) {
	t.Parallel()
	server := harness.Prometheus(t)
	intake := harness.FreeAddr(t)
	harness.Invar(t, harness.Options{Env: map[string]string{"INTAKE": intake, "URL": server.URL}, Config: `
receivers: {otlp: {protocols: {grpc: {endpoint: "${env:INTAKE}"}}}}
processors:
  batch: {timeout: 100ms}
  attributes/rw: {actions: [{key: path, value: remote_write, action: insert}]}
  attributes/otlp: {actions: [{key: path, value: otlp, action: insert}]}
exporters:
  prometheus_remote_write: {endpoint: "${env:URL}/api/v1/write"}
  otlp_http/prometheus: {metrics_endpoint: "${env:URL}/api/v1/otlp/v1/metrics"}
service:
  pipelines:
    metrics/rw: {receivers: [otlp], processors: [attributes/rw, batch], exporters: [prometheus_remote_write]}
    metrics/otlp: {receivers: [otlp], processors: [attributes/otlp, batch], exporters: [otlp_http/prometheus]}
`})
	app := newSDK(t, "grpc", intake, "shop")
	app.recordMetrics(t)
	app.flush(t)

	for _, path := range []string{"remote_write", "otlp"} {
		t.Run(path, func(t *testing.T) {
			labels := fmt.Sprintf(`{path="%s",job="shop",instance="shop-1",route="/invar-e2e"}`, path)
			f := func(promql string, want float64) {
				t.Helper()
				require.InDelta(t, want, value(t, server, strings.ReplaceAll(promql, "{}", labels)), 1e-9, promql)
			}
			f(`invar_e2e_requests_total{}`, 42)
			f(`invar_e2e_temperature{}`, -3.5)
			f(`invar_e2e_duration_seconds_count{}`, 4)
			f(`invar_e2e_duration_seconds_sum{}`, 2.75)
			for le, want := range map[string]float64{"0.1": 1, "0.5": 3, "1": 3, "+Inf": 4} {
				bucket := strings.Replace(labels, "}", fmt.Sprintf(`,le=~"%s(\\.0)?"}`, strings.ReplaceAll(strings.ReplaceAll(le, ".", `\\.`), "+", `\\+`)), 1)
				f(`invar_e2e_duration_seconds_bucket`+bucket, want)
			}
			// The exponential histogram became a native one.
			f(`histogram_count(invar_e2e_sizes{})`, 4)
			f(`histogram_sum(invar_e2e_sizes{})`, 15)
		})
	}
}

// TestNodeExporterToPrometheus scrapes a real node_exporter and compares every
// family it exposes with what arrives in Prometheus.
func TestNodeExporterToPrometheus(t *testing.T) {
	t.Parallel()
	server := harness.Prometheus(t)
	target := harness.NodeExporter(t)
	harness.Invar(t, harness.Options{Env: map[string]string{"TARGET": target, "URL": server.URL}, Config: `
receivers:
  prometheus:
    config:
      global: {scrape_interval: 1s, external_labels: {cluster: e2e}}
      scrape_configs:
        - job_name: node
          static_configs: [{targets: ["${env:TARGET}"], labels: {rack: r1}}]
          metric_relabel_configs:
            - {source_labels: [__name__], regex: go_.+, action: drop}
exporters: {prometheus_remote_write: {endpoint: "${env:URL}/api/v1/write"}}
service: {pipelines: {metrics: {receivers: [prometheus], exporters: [prometheus_remote_write]}}}
`})
	labels := fmt.Sprintf(`job="node",instance="%s",rack="r1",cluster="e2e"`, target)
	require.InDelta(t, 1, value(t, server, fmt.Sprintf(`up{%s}`, labels)), 0)

	direct := scrape(t, target)
	stored, err := server.Query(fmt.Sprintf(`{%s}`, labels))
	require.NoError(t, err)
	series := map[string][]*model.Sample{}
	for _, s := range stored {
		series[string(s.Metric[model.MetricNameLabel])] = append(series[string(s.Metric[model.MetricNameLabel])], s)
	}

	var missing []string
	compared := 0
	for name, family := range direct {
		if strings.HasPrefix(name, "go_") {
			require.Empty(t, series[name], "metric_relabel_configs drops %s", name)
			continue
		}
		if t := family.GetType(); t != dto.MetricType_COUNTER && t != dto.MetricType_GAUGE && t != dto.MetricType_UNTYPED {
			continue
		}
		if len(series[name]) == 0 {
			missing = append(missing, name)
			continue
		}
		require.Len(t, series[name], len(family.GetMetric()), "series of %s", name)
		// These describe the machine and have the same value in both.
		switch {
		case strings.HasSuffix(name, "_info"), name == "node_memory_MemTotal_bytes", name == "node_boot_time_seconds",
			name == "node_filesystem_size_bytes", name == "node_network_mtu_bytes":
			compared += compareSeries(t, name, family, series[name])
		}
	}
	sort.Strings(missing)
	require.Empty(t, missing, "exposed, but not in Prometheus")
	require.Greater(t, compared, 5)
}

// compareSeries checks that each exposed series is stored with its labels and value.
func compareSeries(t *testing.T, name string, family *dto.MetricFamily, stored []*model.Sample) int {
	t.Helper()
	for _, m := range family.GetMetric() {
		want := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		found := false
		for _, s := range stored {
			if matches(m.GetLabel(), s.Metric) {
				found = true
				require.InDelta(t, want, float64(s.Value), math.Abs(want)*1e-9, "%s %v", name, m.GetLabel())
			}
		}
		require.True(t, found, "%s %v is not stored", name, m.GetLabel())
	}
	return len(family.GetMetric())
}

func matches(labels []*dto.LabelPair, stored model.Metric) bool {
	for _, l := range labels {
		if string(stored[model.LabelName(l.GetName())]) != l.GetValue() {
			return false
		}
	}
	return true
}

// scrape reads a target as Prometheus would.
func scrape(t *testing.T, target string) map[string]*dto.MetricFamily {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + target + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	return families
}
