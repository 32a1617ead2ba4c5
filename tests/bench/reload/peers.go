package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// upstreamRun takes the place of distributions/invar/run.go: the same
// components, run as the collector builder's own main runs them.
const upstreamRun = `package main

import (
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/otelcol"
)

func run(set otelcol.CollectorSettings) error {
	if err := featuregate.GlobalRegistry().Set("service.profilesSupport", true); err != nil {
		return err
	}
	return otelcol.NewCommand(set).Execute()
}
`

// buildUpstream builds the other peer beside invar and returns its path.
func buildUpstream(ctx context.Context, invar, dir string) (string, error) {
	sources := filepath.Join(filepath.Dir(filepath.Dir(invar)), "distributions", "invar")
	replacement, overlay, out := filepath.Join(dir, "run.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "upstream")
	if err := os.WriteFile(replacement, []byte(upstreamRun), 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(sources, "run.go"): replacement}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", sources, "-overlay", overlay, "-ldflags", "-s -w", "-o", out, ".")
	if words, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build otelcol: %w: %s", err, words)
	}
	return out, nil
}

// setup is a configuration and the addresses in it.
type setup struct {
	receivers []string // addresses of the OTLP receivers
	targets   []string
	sink      string // address of the endpoints
	metrics   string // host and port of the collector's own metrics
	dir       string
}

// config is the configuration for the nth reload.
func (s *setup) config(n int) string {
	var receivers, exporters, pipelines strings.Builder
	for i, addr := range s.receivers {
		fmt.Fprintf(&receivers, "  otlp/%d: {protocols: {http: {endpoint: %q}}}\n", i, addr)
		fmt.Fprintf(&exporters, "  otlp_http/%d: {endpoint: 'http://%s'}\n", i, s.sink)
		fmt.Fprintf(&pipelines, "    logs/%d: {receivers: [otlp/%[1]d], processors: [resource, batch], exporters: [otlp_http/%[1]d]}\n", i)
	}
	for i, target := range s.targets {
		fmt.Fprintf(&receivers, "  prometheus_scrape/%d: {config: {scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: [%q]}]}]}}\n", i, target)
		fmt.Fprintf(&exporters, "  prometheus_wal/%d: {endpoint: 'http://%s/write', wal: {directory: %q}}\n", i, s.sink, filepath.Join(s.dir, fmt.Sprintf("wal%d", i)))
		fmt.Fprintf(&pipelines, "    metrics/%d: {receivers: [prometheus_scrape/%[1]d], exporters: [prometheus_wal/%[1]d]}\n", i)
	}
	host, port, _ := strings.Cut(s.metrics, ":")
	return fmt.Sprintf(`
receivers:
%sprocessors:
  batch: {timeout: 200ms}
  resource: {attributes: [{key: reload, value: "%d", action: upsert}]}
exporters:
%sservice:
  telemetry: {logs: {level: info}, metrics: {readers: [{pull: {exporter: {prometheus: {host: %s, port: %s}}}}]}}
  pipelines:
%s`, receivers.String(), n, exporters.String(), host, port, pipelines.String())
}
