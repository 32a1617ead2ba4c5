package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// TestScrapeToMimir scrapes in the native lane and writes to a real Mimir as two tenants,
// with both messages. Each tenant must have exactly its own samples.
func TestScrapeToMimir(t *testing.T) {
	t.Parallel()
	url := harness.Mimir(t)
	harness.Invar(t, harness.Options{Env: map[string]string{"URL": url, "TARGET": application(t)}, Config: `
receivers:
  prometheus_scrape:
    config:
      global: {scrape_interval: 500ms, scrape_timeout: 500ms}
      scrape_configs:
        - job_name: app
          scrape_native_histograms: true
          scrape_protocols: [PrometheusProto]
          static_configs: [{targets: ["${env:TARGET}"]}]
exporters:
  prometheus_wal/v1: &wal
    endpoint: ${env:URL}/api/v1/push
    protobuf_message: prometheus.WriteRequest
    headers: {X-Scope-OrgID: tenant-1}
    external_labels: {message: v1}
    queue: {batch_send_deadline: 100ms}
  prometheus_wal/v2:
    <<: *wal
    protobuf_message: auto
    headers: {X-Scope-OrgID: tenant-2}
    external_labels: {message: v2}
service: {pipelines: {metrics: {receivers: [prometheus_scrape], exporters: [prometheus_wal/v1, prometheus_wal/v2]}}}
`})
	for i, message := range []string{"v1", "v2"} {
		t.Run(message, func(t *testing.T) {
			tenant := harness.MimirTenant(t, url, fmt.Sprintf("tenant-%d", i+1))
			f := func(promql string, want float64) {
				t.Helper()
				require.InDelta(t, want, value(t, tenant, promql), 1e-9, promql)
			}
			f(`up{message="`+message+`"}`, 1)
			f(`count(up)`, 1)
			f(`app_requests_total{code="200"}`, 42)
			f(`histogram_count(app_size_bytes)`, 4)
			f(`histogram_sum(app_size_bytes)`, 45.5)
			harness.Eventually(t, metricsTimeout, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				found, err := tenant.API.QueryExemplars(ctx, `app_requests_total`, time.Now().Add(-time.Minute), time.Now())
				if err == nil && (len(found) != 1 || found[0].Exemplars[0].Labels["trace_id"] != "4bf92f3577b34da6a3ce929d0e0e4736") {
					err = fmt.Errorf("exemplars: %v", found)
				}
				return err
			})
			harness.Eventually(t, metricsTimeout, func() error {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				defer cancel()
				found, err := tenant.API.Metadata(ctx, "app_requests_total", "")
				if err != nil {
					return err
				}
				m := found["app_requests_total"]
				if len(m) != 1 || m[0].Type != "counter" || m[0].Help != "Requests." {
					return fmt.Errorf("metadata: %v", found)
				}
				return nil
			})
		})
	}
}
