package redaction

import (
	"regexp"
	"strings"
)

var (
	// secretName matches the names of keys, headers, parameters and labels whose
	// values are secrets. The end of a name decides: token_file is not a secret.
	secretName = regexp.MustCompile(`(?i)(password|passwd|passphrase|passcode|pwd|secrets?|tokens?|credentials?|authorization|bearer|cookie|dsn|signature` +
		`|connection_?string|` +
		`((access|secret|hmac|application|consumer|private|account|api|app|auth|signing|encryption|shared|shared_access|master|license|certificate|sas|ingest|write|read|routing_integration)[_-]?key)` +
		`|(password|secret|token)[_-]?(value|hash|text|string)|headers_list|jwt|assertion|([_-]|^)(pass|pw))[_-]?\d*$` +
		`|^(auth|owner_auth|hash_salt|key_pem|sig|sas)$`)
	// plainName matches the names that secretName matches wrongly.
	plainName = regexp.MustCompile(`(?i)(_|^)(max|min|num|count)_?tokens?$`)
	// parameterName matches names that are secrets only as parameters of a URL.
	parameterName = regexp.MustCompile(`(?i)^(key|p|x-amz-(signature|credential|security-token)|x-goog-(signature|credential))$`)
)

// isSecretName reports whether a key of this name holds a secret.
func isSecretName(name string) bool {
	return secretName.MatchString(name) && !plainName.MatchString(name)
}

func isSecretParameter(name string) bool {
	return isSecretName(name) || parameterName.MatchString(name)
}

// containers are keys of maps, or of lists of names and values, whose values are
// sent unchanged. Any of them may be a credential, whatever its name.
var containers = names(`
	connection_params endpoint_params headers http_headers metadata_headers params proxy_connect_header query_params
	record_headers request_headers response_headers proxy_headers`)

// describing are keys that say what the value beside them is.
var describing = []string{"key", "name", "target_label", "header", "from_attribute", "attribute"}

// values are the keys of the values that describing refers to.
var values = names(`value default_value replacement new_value`)

// htpasswd::inline holds names and hashes of passwords.
const (
	htpasswdKey = "htpasswd"
	inlineKey   = "inline"
)

// harmlessHeaders are headers that are masked in place but not searched for in
// other texts, as their values are ordinary words.
var harmlessHeaders = names(`
	accept accept-encoding accept-language content-encoding content-type user-agent x-scope-orgid x-prometheus-remote-write-version
	x-prometheus-scrape-timeout-seconds`)

func names(list string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		set[name] = true
	}
	return set
}
