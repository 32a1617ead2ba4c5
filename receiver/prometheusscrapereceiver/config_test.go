package prometheusscrapereceiver

import (
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/promlane"
	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadata"
)

func TestConfigStruct(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}

// parseConfig decodes a configuration as the collector does.
func parseConfig(t testing.TB, text string) (*Config, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	return cfg, configtest.Parse(t, text, cfg)
}

func TestConfig(t *testing.T) {
	cfg, err := parseConfig(t, `
lane: pdata
start_timestamps: true
trim_metric_suffixes: true
config_files_interval: 3s
config:
  global: {scrape_interval: 7s, external_labels: {cluster: c}}
  scrape_configs:
    - job_name: a
      honor_labels: true
      basic_auth: {username: u, password: hunter2}
      kubernetes_sd_configs: [{role: pod}]
      static_configs: [{targets: ["h:1"], labels: {__metrics_path__: /x}}]
      relabel_configs: [{source_labels: [__meta_kubernetes_pod_name], target_label: pod}]
`)
	require.NoError(t, err)
	require.Equal(t, promlane.Pdata, cfg.Lane)
	require.Equal(t, 3*time.Second, cfg.ConfigFilesInterval)
	loaded, err := cfg.Prometheus.load()
	require.NoError(t, err)
	require.Len(t, loaded.ScrapeConfigs, 1)
	require.Equal(t, model.Duration(7*time.Second), loaded.ScrapeConfigs[0].ScrapeInterval)
	require.Equal(t, "hunter2", string(loaded.ScrapeConfigs[0].HTTPClientConfig.BasicAuth.Password))
	require.Len(t, loaded.ScrapeConfigs[0].ServiceDiscoveryConfigs, 2)

	// The marshalled configuration has no secrets.
	out := confmap.New()
	require.NoError(t, out.Marshal(cfg))
	require.NotContains(t, toYAML(t, out), "hunter2")
	require.Contains(t, toYAML(t, out), "<secret>")
	require.Contains(t, toYAML(t, out), "job_name: a")
	require.NotContains(t, toYAML(t, out), "translation_strategy", "is a server's")
}

// Empty configurations are valid, as in Prometheus: templates may generate them.
func TestEmptyConfigs(t *testing.T) {
	f := func(text string) {
		t.Helper()
		cfg, err := parseConfig(t, text)
		require.NoError(t, err)
		loaded, err := cfg.Prometheus.load()
		require.NoError(t, err)
		require.Empty(t, loaded.ScrapeConfigs)
		require.NoError(t, confmap.New().Marshal(cfg))

		core, logs := observer.New(zap.WarnLevel)
		set := receivertest.NewNopSettings(metadata.Type)
		set.Logger = zap.New(core)
		for _, lane := range []promlane.Lane{promlane.Auto, promlane.Pdata} {
			cfg.Lane = lane
			r, err := createMetrics(t.Context(), set, cfg, consumertest.NewNop())
			require.NoError(t, err)
			require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
			require.NoError(t, r.Shutdown(t.Context()))
			warnings := logs.TakeAll()
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0].Message, "nothing to scrape")
		}
	}
	f("")
	f("config: {}")
	f("config:")
	f("config: {scrape_configs: []}")
	f("config: {scrape_configs: null}")
	f("config: {global: {scrape_interval: 3s}}")
	f("config: {scrape_configs: [], scrape_config_files: [/nowhere/*.yml]}")
	f("config: {scrape_config_files: []}")
}

func TestWrongConfigs(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parseConfig(t, text)
		require.ErrorContains(t, err, want)
	}
	f(`config: {scrape_configs: [{static_configs: []}]}`, "job_name is empty")
	f(`config: {scrape_configs: [{job_name: a, scrape_intervall: 5s}]}`, "'config' field scrape_intervall not found")
	f(`config: {scrape_configs: [{job_name: a, scrape_interval: 5s, scrape_timeout: 9s}]}`, "scrape timeout greater than scrape interval")
	f(`config: {scrape_configs: [{job_name: a}, {job_name: a}]}`, `multiple scrape configs with job name "a"`)
	f(`config: {scrape_configs: [{job_name: a, relabel_configs: [{action: frobnicate}]}]}`, "unknown relabel action")
	f(`config: {scrape_configs: [{job_name: a}], remote_write: [{url: http://x}]}`, "config::remote_write: is not supported by a scraper; write to exporters::prometheus_wal")
	f(`config: {scrape_configs: [{job_name: a}], rule_files: [x.yml]}`, "config::rule_files: is not supported")
	f(`config: {scrape_configs: [{job_name: a}], remote_read: [{url: http://x}]}`, "config::remote_read: is not supported")
	f(`config: {scrape_configs: [{job_name: a}], alerting: {alertmanagers: [{}]}}`, "config::alerting: is not supported")
	f("lane: fast\nconfig: {scrape_configs: [{job_name: a}]}", `lane: "fast" is not known; use auto, native or pdata`)
	f("lane: native\nconfig: {scrape_configs: [{job_name: a}]}", "lane: native needs a collector that plans lanes")
	f("lane: native\nnative_exporters: [prometheus_wal]\ntrim_metric_suffixes: true\nconfig: {scrape_configs: [{job_name: a}]}", "trim_metric_suffixes: true applies to the pdata lane only")
	f("config_files_interval: 1ms\nconfig: {scrape_configs: [{job_name: a}]}", "config_files_interval: 1ms is too short")
	f(`confg: {}`, "confg")
}
