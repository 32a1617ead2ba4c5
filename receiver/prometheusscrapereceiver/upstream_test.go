package prometheusscrapereceiver

import (
	"log/slog"
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

// The errors come from Prometheus itself.
func TestPromError(t *testing.T) {
	f := func(yaml, want string) {
		t.Helper()
		_, err := promconfig.Load(yaml, slog.New(slog.DiscardHandler))
		require.Error(t, err)
		require.EqualError(t, promError(err), want)
	}
	f("scrape_configs:\n- job_name: a\n  scrape_intervall: 1s\n", "field scrape_intervall not found in type config.ScrapeConfig")
	f("a: [", "did not find expected node content")
	f("scrape_configs: [{scrape_interval: 1s}]", "job_name is empty") // without a position
}
