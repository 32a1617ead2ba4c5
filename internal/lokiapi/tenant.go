package lokiapi

import "strings"

// maxTenantLength is Loki's limit of a tenant's ID, in bytes.
const maxTenantLength = 150

// ValidTenant tells whether Loki takes the tenant's ID: letters, digits and
// !-_.*'() but neither . nor .. alone.
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
