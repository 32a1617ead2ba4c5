package push

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
)

// TenantHeader names the tenant of a request to Loki, Mimir and Pyroscope, which
// accept the same characters.
//
// Source: https://grafana.com/docs/mimir/latest/configure/about-tenant-ids/
const TenantHeader = "X-Scope-OrgID"

// maxTenantLength is the stores' limit of a tenant's ID, in bytes.
const maxTenantLength = 150

// TenantCharacters describes valid tenants, for errors.
const TenantCharacters = "at most 150 letters, digits and !-_.*'()"

// ValidTenant reports whether the stores accept the tenant's ID: letters, digits and
// !-_.*'() but neither . nor .. alone. An empty ID means no tenant and is valid.
func ValidTenant(id string) bool {
	if id == "." || id == ".." || len(id) > maxTenantLength {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!-_.*'()", rune(c)) {
			return false
		}
	}
	return true
}

// SplitTenant returns the tenant in configured headers, "" if there is none, and the
// other headers, which are the same on every request. headers is not changed.
func SplitTenant(headers configopaque.MapList) (tenant string, others configopaque.MapList) {
	for name, value := range headers.Iter {
		if http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(TenantHeader) {
			tenant = string(value)
		} else {
			others.Set(name, value)
		}
	}
	return tenant, others
}
