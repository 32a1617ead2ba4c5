package pyroscopeexporter

import (
	"context"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// attributeTenant is the resource attribute in which the exporter keeps the
// tenant of a request's header while profiles wait in its queue.
const attributeTenant = "pyroscope.tenant.header"

// headerTenant notes the tenant that a request to a receiver named in its header
// with the profiles, before they are queued: a queue, and a persistent one all
// the more, does not keep what the request's context holds.
type headerTenant struct {
	xexporter.Profiles

	header string
}

// Capabilities implements xconsumer.Profiles.
func (*headerTenant) Capabilities() consumer.Capabilities {
	return consumer.Capabilities{MutatesData: true}
}

// ConsumeProfiles implements xconsumer.Profiles.
func (h *headerTenant) ConsumeProfiles(ctx context.Context, pd pprofile.Profiles) error {
	tenant := ""
	if values := client.FromContext(ctx).Metadata.Get(h.header); len(values) > 0 {
		tenant = values[0]
	}
	for _, rp := range pd.ResourceProfiles().All() {
		if tenant == "" {
			rp.Resource().Attributes().Remove(attributeTenant) // a sender's, who has no say in it
		} else {
			rp.Resource().Attributes().PutStr(attributeTenant, tenant)
		}
	}
	return h.Profiles.ConsumeProfiles(ctx, pd)
}

// tenantOf is the tenant of a resource's profiles: what its attribute says, else
// the header of the request that brought them, else the configured one.
func (c *TenantConfig) tenantOf(resource pcommon.Resource, configured string) string {
	for _, key := range []string{c.Attribute, c.headerAttribute()} {
		if key == "" {
			continue
		}
		if v, ok := resource.Attributes().Get(key); ok {
			if tenant := nesting.Text(v); tenant != "" {
				return tenant
			}
		}
	}
	return configured
}

// headerAttribute is empty without a header: then the attribute is a sender's.
func (c *TenantConfig) headerAttribute() string {
	if c.Header == "" {
		return ""
	}
	return attributeTenant
}
