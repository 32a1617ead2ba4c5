package pprofscrapereceiver

import (
	"testing"

	"github.com/prometheus/prometheus/discovery"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/configtest"
)

// Texts in a job mean the same as in Prometheus.
func TestJobsKeepTheirText(t *testing.T) {
	t.Setenv("ZEROS", "0123")
	conf, err := configtest.Resolve(t, `yaml:receivers: {pprof_scrape: {scrape_configs: [{job_name: "${env:ZEROS}", scrape_interval: 5s,
basic_auth: {username: 1.10, password: "${env:ZEROS}"}, static_configs: [{targets: ["h:1"], labels: {a: 1.10, b: 0x1F, c: 2024-01-02}}],
relabel_configs: [{source_labels: [a], regex: 01, target_label: d, replacement: 1e3}]}]}}`)
	require.NoError(t, err)
	conf, err = conf.Sub("receivers::pprof_scrape")
	require.NoError(t, err)
	var cfg Config
	require.NoError(t, conf.Unmarshal(&cfg))
	require.NoError(t, confmap.Validate(&cfg))
	job := cfg.ScrapeConfigs[0]
	require.Equal(t, "0123", job.JobName)
	require.Equal(t, "1.10", job.client.BasicAuth.Username)
	require.Equal(t, "0123", string(job.client.BasicAuth.Password))
	group := job.targets.Configs()[0].(discovery.StaticConfig)[0]
	require.EqualValues(t, "1.10", group.Labels["a"])
	require.EqualValues(t, "0x1F", group.Labels["b"])
	require.EqualValues(t, "2024-01-02", group.Labels["c"])
	rule := job.targets.RelabelConfigs()[0]
	require.Equal(t, "01", rule.Regex.String())
	require.Equal(t, "1e3", rule.Replacement)
}
