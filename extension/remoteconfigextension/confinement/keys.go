package confinement

import (
	"regexp"
	"slices"
	"strings"
)

// class says what the values of a key refer to.
type class int

const (
	classOther  class = iota // nothing on this host
	classFile                // a file, folder, glob, or a list of them
	classEnv                 // the name of an environment variable
	classBypass              // configuration that bypasses the rules; never permitted
)

// key is an entry of the table of keys.
type key struct {
	class  class
	reason string // for classBypass: what the key does
	// except lists components, or kinds with a trailing slash, in which the key is
	// of classOther.
	except []string
}

// suspicious matches keys whose values may be files, commands or variables. Such
// a key must be in the table; otherwise its values are treated as files.
var suspicious = regexp.MustCompile(`file|path|dir|folder|include|glob|cert|socket|htpasswd|command|exec|env|script|keytab|kubeconfig|root`)

// keys is the table, by the last part of a key's path. It covers the keys that
// the binary has; a test in distributions/invar reports missing ones.
var keys = table(map[class]string{
	// Credentials and certificates: configtls, Prometheus' HTTP client, auth
	// extensions, Kerberos, service discoveries.
	// Data: receivers, exporters and operators that read or write files.
	classFile: `
		auth_token_file bearer_token_file ca_file cert_file certificate_key_path certificate_path client_ca_file
		client_certificate_key_file client_id_file client_secret_file credentials_file credentials_file_path
		htpasswd issuer_ca_path key_file keytab_file kubeconfig_file password_file private_key_path
		public_keys_file secret_key_file service_account_key_path token_file token_file_path username_file
		value_file web_identity_token_file

		bpf_fs_root config_file directory file filename files journalctl_path output_paths query_log_file
		replay_file root_path rule_files save_to_file scrape_failure_log_file strategy_file
		allowed_paths storage_directory`,
	classEnv: `env_vars_to_metric_labels include_env_vars node_from_env_var`,
	// Inline certificates and keys, HTTP paths, choices of names and attributes,
	// permissions, sizes and times whose name contains a suspicious word.
	classOther: `
		cert cert_pem cert_ref certificate certificate_password client_certificate_key client_certificate_key_id
		client_certificate_key_ref

		logs_url_path metrics_path metrics_url_path path_prefix traces_url_path

		description environment glob include_devices include_fields include_fs_types include_instrumentation_scope
		include_metadata_keys include_mount_points include_resource_attributes metrics_include profile
		profile_conditions profile_statements profiles profiles_endpoint subscription_id

		config_files_interval decision_wait_after_root_received directory_permissions max_profile_size
		socket_permissions strategy_file_reload_interval`,
}, map[string]key{
	"include": {class: classFile, except: []string{
		"exporter/pyroscope", "processor/", "connector/", "receiver/host_metrics",
	}},
	"path": {class: classFile, except: []string{"receiver/pprof_scrape", "extension/health_check"}},
	// In the service discoveries through ZooKeeper.
	"paths": {class: classFile, except: []string{
		"receiver/ebpf_profile", "receiver/pprof_scrape", "receiver/prometheus", "receiver/prometheus_scrape",
	}},
	"scrape_config_files": {class: classBypass, reason: "loads configuration that these rules do not see"},
	"target_allocator":    {class: classBypass, reason: "loads configuration that these rules do not see"},
})

func table(byClass map[class]string, special map[string]key) map[string]key {
	for c, names := range byClass {
		for name := range strings.FieldsSeq(names) {
			special[name] = key{class: c}
		}
	}
	return special
}

// freeKeys are keys of maps whose own keys the user chooses: a label may be
// called path. This holds for direct entries of the map only.
var freeKeys = names(`
	attributes claims connection_params const_labels default_labels endpoint_params experimental_match_labels
	external_labels group_resource_labels headers labels mapping meta non_identifying_attributes params
	proxy_connect_header required_matchers resource response_headers time_zone_locations`)

// userKeys are keys of maps whose own keys the user chooses but whose values are
// settings of the component again: labels in them is not one of freeKeys.
var userKeys = names(`http_headers`)

// expressions are keys of log operators whose whole value is an expression.
var expressions = names(`expr if is_first_entry is_last_entry`)

// identityKeys are keys that make a component authenticate as the host or its
// user, with credentials that no key names.
var identityKeys = map[string]string{
	"azuread": "azure", "google_iam": "gcp", "sigv4": "aws",
}

// folder is a key of a component that names a folder to write to.
type folder struct {
	parent, name string
	always       bool // required even if parent is not set
}

// folders are settings, in components that are allowed by default, whose default
// is a folder of the host. They must be set, so that the folder can be checked.
var folders = map[string]folder{
	"exporter/prometheus_wal":          {"wal", "directory", true},
	"exporter/prometheus_remote_write": {"wal", "directory", false},
}

func names(list string) map[string]bool {
	set := map[string]bool{}
	for name := range strings.FieldsSeq(list) {
		set[name] = true
	}
	return set
}

// Suspicious reports whether a key's name suggests that its value is a file, a
// command or an environment variable. Such a key must be in the table of keys.
func Suspicious(name string) bool { return suspicious.MatchString(strings.ToLower(name)) }

// KnownKey reports whether the last part of a key's path is in the table of keys.
// It exists for the test of a binary's component set.
func KnownKey(name string) bool {
	_, known := keys[strings.ToLower(name)]
	return known
}

// HostKey reports whether the values of a component's key refer to files or
// variables of the host. id is kind/type with the current type.
func HostKey(id, name string) bool {
	return classify(id, strings.ToLower(name)).class != classOther
}

// classify returns the table's entry for a key of a component. name is in lower
// case, as decoders may ignore case.
func classify(id, name string) key {
	k, known := keys[name]
	if !known {
		if suspicious.MatchString(name) {
			return key{class: classFile}
		}
		return key{}
	}
	kind, _, _ := strings.Cut(id, "/")
	if slices.Contains(k.except, id) || slices.Contains(k.except, kind+"/") {
		return key{}
	}
	return k
}
