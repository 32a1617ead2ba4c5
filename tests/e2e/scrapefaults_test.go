package e2e

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// TestLimits checks that a target that exceeds a limit only fails its own scrape.
func TestLimits(t *testing.T) {
	t.Parallel()
	server := harness.Prometheus(t)
	target := application(t)
	huge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		n := 1_000_000
		if r.URL.Path == "/body" { // 100 MB
			n = 3_500_000
		}
		for i := range n {
			if _, err := fmt.Fprintf(w, "huge{n=\"%015d\"} 1\n", i); err != nil {
				return
			}
		}
	}))
	defer huge.Close()
	harness.Invar(t, harness.Options{Env: map[string]string{
		"URL": server.URL, "TARGET": target, "HUGE": strings.TrimPrefix(huge.URL, "http://"),
	}, Config: `
receivers:
  prometheus_scrape:
    config:
      global: {scrape_interval: 2s, scrape_timeout: 2s}
      scrape_configs:
        - {job_name: app, static_configs: [{targets: ["${env:TARGET}"]}]}
        - {job_name: series, sample_limit: 1000, static_configs: [{targets: ["${env:HUGE}"]}]}
        - {job_name: body, metrics_path: /body, body_size_limit: 5MB, static_configs: [{targets: ["${env:HUGE}"]}]}
exporters: {prometheus_wal: {endpoint: "${env:URL}/api/v1/write", queue: {batch_send_deadline: 100ms}}}
service: {pipelines: {metrics: {receivers: [prometheus_scrape], exporters: [prometheus_wal]}}}
`})
	require.InDelta(t, 1, value(t, server, `up{job="app"}`), 0)
	require.InDelta(t, 0, value(t, server, `up{job="series"}`), 0)
	require.InDelta(t, 0, value(t, server, `up{job="body"}`), 0)
	v, err := server.Query(`count(huge)`)
	require.NoError(t, err)
	require.Empty(t, v)
}

// TestTargetsVanish removes ten thousand targets from service discovery and adds them
// again. Their series must end with staleness markers, and continue as the same series.
func TestTargetsVanish(t *testing.T) {
	t.Parallel()
	const targets = 10_000
	server := harness.Prometheus(t)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprint(w, "items 1\n")
	}))
	defer target.Close()
	type group struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	var all []group
	for i := range targets {
		all = append(all, group{[]string{strings.TrimPrefix(target.URL, "http://")}, map[string]string{
			"__metrics_path__": fmt.Sprintf("/%d", i), "instance": fmt.Sprintf("target-%d", i),
		}})
	}
	dir := t.TempDir()
	discover := func(groups []group) {
		t.Helper()
		b, err := json.Marshal(groups)
		require.NoError(t, err)
		tmp := filepath.Join(dir, "tmp")
		require.NoError(t, os.WriteFile(tmp, b, 0o600))
		require.NoError(t, os.Rename(tmp, filepath.Join(dir, "targets.json")))
	}
	discover(all)
	harness.Invar(t, harness.Options{Env: map[string]string{"URL": server.URL, "DIR": dir}, Config: `
receivers:
  prometheus_scrape/own:
    config: {scrape_configs: [{job_name: own, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ["127.0.0.1:${env:METRICS_PORT}"]}]}]}
  prometheus_scrape/many:
    config:
      scrape_configs:
        - {job_name: many, scrape_interval: 10s, file_sd_configs: [{files: ["${env:DIR}/*.json"]}]}
exporters: {prometheus_wal: {endpoint: "${env:URL}/api/v1/write", queue: {batch_send_deadline: 100ms}}}
service:
  pipelines: {metrics: {receivers: [prometheus_scrape/own, prometheus_scrape/many], exporters: [prometheus_wal]}}
`})
	becomes := func(promql string, want, delta float64) {
		t.Helper()
		harness.Eventually(t, metricsTimeout, func() error {
			v, err := server.Query(promql)
			if err == nil && (len(v) != 1 || math.Abs(float64(v[0].Value)-want) > delta) {
				err = fmt.Errorf("%s is %v, want %g", promql, v, want)
			}
			return err
		})
	}
	// A series that ended with a staleness marker is not counted.
	const up, series = `count(up{job="many"} == 1) or vector(0)`, `max({__name__=~"otelcol_exporter_prometheus_wal_series.*"})`
	becomes(up, targets, 0)
	becomes(series, 6*targets, 1000) // items, up and the scrape_*; the rest are own metrics
	discover(nil)
	becomes(up, 0, 0)
	discover(all)
	becomes(up, targets, 0)
	becomes(series, 6*targets, 1000)
}
