package promdiscovery

import (
	"testing"

	"github.com/prometheus/prometheus/discovery"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/configtest"
)

func TestJobKeepsItsText(t *testing.T) {
	t.Setenv("ZEROS", "0123")
	conf, err := configtest.Resolve(t, `yaml:receivers: {ebpf_profile: {targets: {static_configs: [{targets: [h, 007], labels: {a: 1.10, b: "${env:ZEROS}", c: yes}}],
relabel_configs: [{source_labels: [a], regex: 01, target_label: d, replacement: 1_000}]}}}`)
	require.NoError(t, err)
	conf, err = conf.Sub("receivers::ebpf_profile")
	require.NoError(t, err)
	var cfg struct {
		Targets Job `mapstructure:"targets"`
	}
	require.NoError(t, conf.Unmarshal(&cfg))
	group := cfg.Targets.Configs()[0].(discovery.StaticConfig)[0]
	require.EqualValues(t, "007", group.Targets[1]["__address__"])
	require.EqualValues(t, "1.10", group.Labels["a"])
	require.EqualValues(t, "0123", group.Labels["b"])
	require.EqualValues(t, "yes", group.Labels["c"])
	rule := cfg.Targets.RelabelConfigs()[0]
	require.Equal(t, "01", rule.Regex.String())
	require.Equal(t, "1_000", rule.Replacement)

	// Without the original text, a number with a decimal point is refused.
	var job Job
	err = job.Unmarshal(confmap.NewFromStringMap(map[string]any{"static_configs": []any{map[string]any{"labels": map[string]any{"a": 1.1}}}}))
	require.ErrorContains(t, err, "static_configs::0::labels::a: was read as 1.1, which may not be what is written; quote it")
}
