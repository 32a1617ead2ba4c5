package e2e

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// application is a scrape target with one metric of each type.
func application(t *testing.T) string {
	t.Helper()
	reg := prometheus.NewRegistry()
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "app_requests_total", Help: "Requests."}, []string{"code"})
	sizes := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "app_size_bytes", Help: "Sizes.", NativeHistogramBucketFactor: 1.1, Buckets: []float64{1, 10},
	})
	utf8 := prometheus.NewGauge(prometheus.GaugeOpts{Name: "app.temperature", Help: "A name only UTF-8 allows."})
	reg.MustRegister(requests, sizes, utf8)
	requests.WithLabelValues("200").Add(41)
	requests.WithLabelValues("200").(prometheus.ExemplarAdder).AddWithExemplar(1, prometheus.Labels{"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"})
	for _, v := range []float64{.5, 2, 3, 40} {
		sizes.Observe(v)
	}
	utf8.Set(-3.5)
	server := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, Registry: reg}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestScrapeToPrometheus scrapes in both lanes and writes both messages to a
// real Prometheus, and queries everything back.
func TestScrapeToPrometheus(t *testing.T) {
	t.Parallel()
	server := harness.Prometheus(t, "--enable-feature=exemplar-storage,native-histograms")
	target := application(t)
	collector := harness.Invar(t, harness.Options{Env: map[string]string{"URL": server.URL, "TARGET": target}, Config: `
receivers:
  prometheus_scrape/native: &scrape
    config:
      global: {scrape_interval: 500ms, scrape_timeout: 500ms}
      scrape_configs:
        - job_name: app
          scrape_native_histograms: true
          scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, PrometheusText0.0.4]
          static_configs: [{targets: ["${env:TARGET}"], labels: {rack: r1}}]
        - job_name: text # the protobuf exposition has no UTF-8 names yet
          scrape_protocols: [OpenMetricsText1.0.0]
          static_configs: [{targets: ["${env:TARGET}"], labels: {rack: r1}}]
  prometheus_scrape/pdata: *scrape
processors: {resource: {attributes: [{key: added, value: "yes", action: insert}]}}
exporters:
  prometheus_wal/v1: &wal
    endpoint: ${env:URL}/api/v1/write
    protobuf_message: prometheus.WriteRequest
    external_labels: {path: v1}
    queue: {batch_send_deadline: 100ms}
  prometheus_wal/v2:
    <<: *wal
    protobuf_message: io.prometheus.write.v2.Request
    external_labels: {path: v2}
  prometheus_wal/pdata:
    <<: *wal
    protobuf_message: auto
    external_labels: {path: pdata}
    translation: {strategy: NoUTF8EscapingWithSuffixes, promote_resource_attributes: [added]}
service:
  pipelines:
    metrics/native: {receivers: [prometheus_scrape/native], exporters: [prometheus_wal/v1, prometheus_wal/v2]}
    metrics/pdata: {receivers: [prometheus_scrape/pdata], processors: [resource], exporters: [prometheus_wal/pdata]}
`})
	require.Contains(t, collector.Stderr(), "Scraping in the native lane")
	require.Contains(t, collector.Stderr(), "Scraping in the pdata lane")
	for _, path := range []string{"v1", "v2", "pdata"} {
		t.Run(path, func(t *testing.T) {
			labels := fmt.Sprintf(`path="%s",job="app",instance="%s"`, path, target)
			if path == "pdata" {
				labels += `,added="yes"`
			} else {
				labels += `,rack="r1"`
			}
			f := func(promql string, want float64) {
				t.Helper()
				require.InDelta(t, want, value(t, server, strings.ReplaceAll(promql, "§", labels)), 1e-9, promql)
			}
			f(`up{§}`, 1)
			f(`app_requests_total{§,code="200"}`, 42)
			f(`histogram_count(app_size_bytes{§})`, 4)
			f(`histogram_sum(app_size_bytes{§})`, 45.5)
			f(`scrape_samples_scraped{§}`, 5)
			labels = strings.Replace(labels, `job="app"`, `job="text"`, 1)
			f(`{"app.temperature",§}`, -3.5)
		})
	}
	harness.Eventually(t, metricsTimeout, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		found, err := server.API.QueryExemplars(ctx, `app_requests_total`, time.Now().Add(-time.Minute), time.Now())
		if err != nil {
			return err
		}
		paths := map[string]bool{}
		for _, e := range found {
			for _, x := range e.Exemplars {
				if x.Labels["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736" && float64(x.Value) == 1 {
					paths[string(e.SeriesLabels["path"])] = true
				}
			}
		}
		if len(paths) != 3 {
			return fmt.Errorf("exemplars on %v", paths)
		}
		return nil
	})
}

// TestScrapeConfigFiles checks that jobs follow their files, and that a file that cannot
// be loaded changes nothing.
func TestScrapeConfigFiles(t *testing.T) {
	t.Parallel()
	server := harness.Prometheus(t)
	target := application(t)
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		require.NoError(t, os.WriteFile(tmp, []byte(text), 0o600))
		require.NoError(t, os.Rename(tmp, filepath.Join(dir, "jobs.yml")))
	}
	job := func(name string) string {
		return fmt.Sprintf("scrape_configs: [{job_name: %s, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{targets: ['%s']}]}]", name, target)
	}
	write(job("first"))
	collector := harness.Invar(t, harness.Options{Env: map[string]string{"URL": server.URL, "DIR": dir}, Config: `
receivers:
  prometheus_scrape:
    config_files_interval: 1s
    config: {scrape_config_files: ["${env:DIR}/*.yml"]}
exporters: {prometheus_wal: {endpoint: "${env:URL}/api/v1/write", queue: {batch_send_deadline: 100ms}}}
service: {pipelines: {metrics: {receivers: [prometheus_scrape], exporters: [prometheus_wal]}}}
`})
	require.InDelta(t, 1, value(t, server, `up{job="first"}`), 0)
	write("scrape_configs: [{job_name: broken, scrape_interval: never}]")
	harness.Eventually(t, 20*time.Second, func() error {
		if !strings.Contains(collector.Stderr(), "Cannot apply changed scrape_config_files") {
			return fmt.Errorf("the broken file was not noticed")
		}
		return nil
	})
	require.InDelta(t, 1, value(t, server, `up{job="first"}`), 0)
	write(job("second"))
	require.InDelta(t, 1, value(t, server, `up{job="second"}`), 0)
	harness.Eventually(t, metricsTimeout, func() error { // staleness markers end the series of the first job
		v, err := server.Query(`up{job="first"}`)
		if err == nil && len(v) > 0 {
			err = fmt.Errorf("up of the first job is still %v", v)
		}
		return err
	})
}

// TestMetadataToPrometheus checks that types and units arrive from both lanes. Prometheus
// is configured to store them as labels.
func TestMetadataToPrometheus(t *testing.T) {
	t.Parallel()
	server := harness.Prometheus(t, "--enable-feature=type-and-unit-labels")
	harness.Invar(t, harness.Options{Env: map[string]string{"URL": server.URL, "TARGET": application(t)}, Config: `
receivers:
  prometheus_scrape/native: &scrape
    config:
      scrape_configs:
        - {job_name: app, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{targets: ["${env:TARGET}"]}]}
  prometheus_scrape/pdata: *scrape
processors: {batch: {timeout: 100ms}}
exporters:
  prometheus_wal/native: &wal {endpoint: "${env:URL}/api/v1/write", external_labels: {path: native}, queue: {batch_send_deadline: 100ms}}
  prometheus_wal/pdata: {<<: *wal, external_labels: {path: pdata}}
service:
  pipelines:
    metrics/native: {receivers: [prometheus_scrape/native], exporters: [prometheus_wal/native]}
    metrics/pdata: {receivers: [prometheus_scrape/pdata], processors: [batch], exporters: [prometheus_wal/pdata]}
`})
	for _, path := range []string{"native", "pdata"} {
		require.InDelta(t, 42, value(t, server, `app_requests_total{code="200",__type__="counter",path="`+path+`"}`), 0)
		require.InDelta(t, 4, value(t, server, `app_size_bytes_count{__type__="histogram",path="`+path+`"}`), 0)
		require.InDelta(t, -3.5, value(t, server, `{"app.temperature",__type__="gauge",path="`+path+`"}`), 0)
	}
}
