package push

import (
	"context"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// KeepLogsTenant returns an exporter that copies the tenant from the header of the
// incoming request to the attribute of each resource before next queues the logs,
// because a queue does not keep the request's context. Without a tenant in the header
// it removes the attribute. It returns next if header is empty.
func KeepLogsTenant(next exporter.Logs, header, attribute string) exporter.Logs {
	if header == "" {
		return next
	}
	return &logsTenant{Logs: next, headerTenant: headerTenant{header, attribute}}
}

// KeepProfilesTenant is [KeepLogsTenant] for profiles.
func KeepProfilesTenant(next xexporter.Profiles, header, attribute string) xexporter.Profiles {
	if header == "" {
		return next
	}
	return &profilesTenant{Profiles: next, headerTenant: headerTenant{header, attribute}}
}

type headerTenant struct{ header, attribute string }

func (h *headerTenant) of(ctx context.Context) string {
	if values := client.FromContext(ctx).Metadata.Get(h.header); len(values) > 0 {
		return values[0]
	}
	return ""
}

func (h *headerTenant) keep(tenant string, resource pcommon.Resource) {
	if tenant == "" {
		resource.Attributes().Remove(h.attribute) // a sender may not choose its tenant
	} else {
		resource.Attributes().PutStr(h.attribute, tenant)
	}
}

type logsTenant struct {
	exporter.Logs

	headerTenant headerTenant
}

// Capabilities implements consumer.Logs.
func (*logsTenant) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeLogs implements consumer.Logs.
func (l *logsTenant) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	tenant := l.headerTenant.of(ctx)
	for _, rl := range ld.ResourceLogs().All() {
		l.headerTenant.keep(tenant, rl.Resource())
	}
	return l.Logs.ConsumeLogs(ctx, ld)
}

type profilesTenant struct {
	xexporter.Profiles

	headerTenant headerTenant
}

// Capabilities implements xconsumer.Profiles.
func (*profilesTenant) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeProfiles implements xconsumer.Profiles.
func (p *profilesTenant) ConsumeProfiles(ctx context.Context, pd pprofile.Profiles) error {
	tenant := p.headerTenant.of(ctx)
	for _, rp := range pd.ResourceProfiles().All() {
		p.headerTenant.keep(tenant, rp.Resource())
	}
	return p.Profiles.ConsumeProfiles(ctx, pd)
}
