package pyroscopeexporter

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

// attributeTenant is the resource attribute in which the exporter keeps the
// tenant of a request's header while profiles wait in its queue.
const attributeTenant = "pyroscope.tenant.header"

// tenantOf returns the tenant of a resource's profiles: what its attribute says,
// else the header of the request that brought them, else the configured one.
func (c *Config) tenantOf(resource pcommon.Resource, configured string) string {
	for _, key := range []string{c.Tenant.Attribute, c.headerAttribute()} {
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

// headerAttribute returns attributeTenant, or "" if no header names the tenant:
// then the attribute is a sender's.
func (c *Config) headerAttribute() string {
	if c.Tenant.Header == "" {
		return ""
	}
	return attributeTenant
}
