package lokiexporter

import (
	"context"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
)

// headerTenant notes the tenant that a request to a receiver named in its header
// with the logs, before they are queued: a queue, and a persistent one all the
// more, does not keep what the request's context holds.
type headerTenant struct {
	exporter.Logs

	header string
}

// Capabilities implements consumer.Logs.
func (*headerTenant) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeLogs implements consumer.Logs.
func (h *headerTenant) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	tenant := ""
	if values := client.FromContext(ctx).Metadata.Get(h.header); len(values) > 0 {
		tenant = values[0]
	}
	for _, rl := range ld.ResourceLogs().All() {
		if tenant == "" {
			rl.Resource().Attributes().Remove(translate.HeaderTenant) // a sender's, who has no say in it
		} else {
			rl.Resource().Attributes().PutStr(translate.HeaderTenant, tenant)
		}
	}
	return h.Logs.ConsumeLogs(ctx, ld)
}
