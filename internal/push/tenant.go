package push

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
)

// TenantHeader names the tenant of a request: Loki, Mimir and Pyroscope tell
// tenants apart by the same header, and take the same characters.
//
// Source: https://grafana.com/docs/mimir/latest/configure/about-tenant-ids/
const TenantHeader = "X-Scope-OrgID"

// maxTenantLength is the stores' limit of a tenant's ID, in bytes.
const maxTenantLength = 150

// TenantCharacters says in an error what [ValidTenant] takes.
const TenantCharacters = "at most 150 letters, digits and !-_.*'()"

// ValidTenant reports whether the stores take the tenant's ID: letters, digits
// and !-_.*'() but neither . nor .. alone. An empty one is no tenant, which is
// valid.
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

// SplitTenant returns the tenant that configured headers name, empty if none
// does, and the other headers. Those are the same on every request, while the
// tenant may differ. headers is not changed.
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
