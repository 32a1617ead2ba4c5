// Package orgid is the tenant of a request to Grafana's stores: Loki, Mimir and
// Pyroscope tell tenants apart by the same header and take the same characters.
//
// Source: https://grafana.com/docs/mimir/latest/configure/about-tenant-ids/
package orgid

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/collector/config/configopaque"
)

// Header names the tenant of a request.
const Header = "X-Scope-OrgID"

// maxLength is the stores' limit of a tenant's ID, in bytes.
const maxLength = 150

// Valid tells whether the stores take the tenant's ID: letters, digits and
// !-_.*'() but neither . nor .. alone. An empty one is no tenant, which is valid.
func Valid(id string) bool {
	if id == "." || id == ".." || len(id) > maxLength {
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

// Split takes the tenant out of configured headers: the others are the same on
// every request, while the tenant may differ. The tenant is empty if no header
// names it. headers is not changed.
func Split(headers configopaque.MapList) (tenant string, others configopaque.MapList) {
	for name, value := range headers.Iter {
		if http.CanonicalHeaderKey(name) == http.CanonicalHeaderKey(Header) {
			tenant = string(value)
		} else {
			others.Set(name, value)
		}
	}
	return tenant, others
}
