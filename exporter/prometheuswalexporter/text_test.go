package prometheuswalexporter

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/config/yamltext"
)

// Relabelling rules mean what they mean to Prometheus.
func TestRelabelConfigsKeepTheirText(t *testing.T) {
	t.Setenv("ZEROS", "0123")
	conf, err := configtest.Resolve(t, `yaml:exporters: {prometheus_wal: {endpoint: http://h, external_labels: {a: "${env:ZEROS}"}, write_relabel_configs: [
{source_labels: [a], regex: 1.10, target_label: b, replacement: 012},
{source_labels: [a], regex: "${env:ZEROS}", target_label: b, replacement: "x${env:ZEROS}$$1"},
{source_labels: [a], modulus: 0x10, action: hashmod, target_label: c}]}}`)
	require.NoError(t, err)
	conf, err = conf.Sub("exporters::prometheus_wal")
	require.NoError(t, err)
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, conf.Unmarshal(cfg))
	require.NoError(t, confmap.Validate(cfg))
	rules, err := cfg.relabelConfigs()
	require.NoError(t, err)
	require.Equal(t, "1.10", rules[0].Regex.String())
	require.Equal(t, "012", rules[0].Replacement)
	require.Equal(t, "0123", rules[1].Regex.String())
	require.Equal(t, "x0123$1", rules[1].Replacement)
	require.EqualValues(t, 16, rules[2].Modulus)
	require.Equal(t, map[string]string{"a": "0123"}, cfg.ExternalLabels)

	printed := confmap.New()
	require.NoError(t, printed.Marshal(cfg))
	require.Equal(t, "1.10", printed.Get("write_relabel_configs").([]any)[0].(map[string]any)["regex"])
	require.Equal(t, "http://h", cfg.Endpoint)

	// A value whose text is unknown and may differ is refused.
	cfg.WriteRelabelConfigs = yamltext.Parts(map[string]any{"target_label": "a", "replacement": 1.5})
	require.ErrorContains(t, cfg.Validate(), "write_relabel_configs: 0::replacement: was read as 1.5, which may not be what is written; quote it")
}
