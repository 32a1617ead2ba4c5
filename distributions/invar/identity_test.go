package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
)

// identifies matches keys that may select whose credentials are used: the host's, its
// user's, or those of a cloud's machine.
var identifies = regexp.MustCompile(`auth_?type|auth(entication)?_method|kube|role|profile$|identit|assume|impersonat|delegates|principal|sigv4|azure|^aws|^gcp|iam$` +
	`|managed|workload|^sdk$|from_env|service_account|tpm|kerberos|keytab|token_source|docker|^sso|_sso|federat|default_cred`)

// identities are the keys that identifies matches. The value says which rule refuses
// them, or why they are harmless.
var identities = map[string]string{
	"auth_type":     "rule auth_type: kubeConfig is not among the default parts",
	"sigv4":         "rule identity",
	"azuread":       "rule identity",
	"google_iam":    "rule identity",
	"tpm":           "rule identity, if it is enabled",
	"aws_cloud_map": "part resolver, not default",
	"aws_msk":       "its mechanism is a part sasl that is not default",
	"kubeadm":       "has auth_type; by default the pod's service account",
	"azure":         "asks the machine's metadata service",
	"gcp":           "asks the machine's metadata service; rule identity for labels",

	"kubeconfig_file":          "a file",
	"keytab_file":              "a file",
	"service_account_key_path": "a file",
	"web_identity_token_file":  "a file",
	"node_from_env_var":        "a variable",

	"assume_role":              "of an extension that is not default",
	"delegates":                "of an exporter that is not default",
	"impersonate":              "of an exporter that is not default",
	"target_principal":         "of an exporter that is not default",
	"docker":                   "detector that is not default",
	"role_arn":                 "below sigv4, or of a discovery that is not default",
	"profile":                  "below sigv4, of a discovery that is not default, or the name of a statement's context",
	"managed_identity":         "below azuread",
	"workload_identity":        "below azuread",
	"sdk":                      "below azuread",
	"authentication_method":    "of a discovery that is not default",
	"identity_endpoint":        "of a discovery that is not default",
	"service_account_key":      "of a discovery that is not default",
	"role":                     "the kind of objects that a discovery looks for",
	"oauthbearer_token_source": "an extension of the same pipeline",
	"kerberos":                 "credentials in the configuration",
	"use_keytab":               "whether keytab_file is used",
	"proxy_from_environment":   "the host's proxy, which Go uses anyway",
	"kube_api_burst":           "a number",
	"kube_api_qps":             "a number",
	"kubernetes_annotations":   "a number",
	"azurecontainerapps":       "asks the machine's metadata service",
	"mutex_profile_fraction":   "a number",
	"block_profile_fraction":   "a number",
}

// TestEveryIdentityIsClassified fails for a key that looks as if it selected
// credentials and that is not classified. Refuse it in
// extension/remoteconfigextension/confinement, or add above why it is harmless.
func TestEveryIdentityIsClassified(t *testing.T) {
	missing, found := map[string]setting{}, map[string]bool{}
	for _, s := range settings(t) {
		name := s.key()
		if !identifies.MatchString(name) {
			continue
		}
		found[name] = true
		// Discoveries are parts, and names with dots are resource attributes.
		if identities[name] == "" && !strings.HasSuffix(name, "_sd_configs") && !strings.Contains(name, ".") {
			missing[name] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s is not classified", missing[name])
	}
	for name := range identities {
		if !found[name] {
			t.Logf("no component has the key %s any more", name)
		}
	}
}

// TestIdentities checks, with components of the binary, that the rules refuse every
// use of credentials that are not in the configuration.
func TestIdentities(t *testing.T) {
	f := func(config, want string, permission ...string) {
		t.Helper()
		j := newJudge(t, confinement.Rules{})
		if err := j.refused(t, []byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
		if len(permission) == 0 {
			return
		}
		j = newJudge(t, confinement.Rules{AllowedComponents: append([]string{"default"}, permission...)})
		if err := j.refused(t, []byte(config)); err != nil {
			t.Errorf("%s: with %s: %v", config, permission, err)
		}
	}
	const kubeconfig = `auth_type "kubeconfig" is not allowed`
	f("processors: {k8s_attributes: {auth_type: kubeConfig}}", kubeconfig, "auth_type/kubeconfig")
	f("processors: {k8sattributes: {auth_type: '${yaml:kubeConfig}'}}", kubeconfig)
	f("processors: {resource_detection: {detectors: [kubeadm], kubeadm: {auth_type: kubeConfig}}}", kubeconfig, "auth_type/kubeconfig")
	f("processors: {resource_detection: {detectors: [k8s_api], k8s_api: {auth_type: kubeConfig}}}", kubeconfig)
	f("processors: {resourcedetection: {detectors: [k8snode], k8snode: {auth_type: kubeConfig, context: x}}}", kubeconfig)
	f("processors: {resource_detection: {detectors: [eks]}}", `detector "eks" is not allowed to remote configurations: asks AWS`, "detector/eks")
	f("processors: {resource_detection: {detectors: [ec2], ec2: {tags: ['.*']}}}", `ec2::tags: identity "aws"`, "identity/aws")
	f("processors: {resource_detection: {detectors: [ec2], ec2: {tags: 'a,b', tags_from_imds: false}}}", `ec2::tags: identity "aws"`)
	f("processors: {resource_detection: {detectors: [gcp], gcp: {labels: ['.*']}}}", `gcp::labels: identity "gcp"`, "identity/gcp")
	f("exporters: {load_balancing: {protocol: {otlp: }, resolver: {k8s: {service: a}}}}", `resolver "k8s" is not allowed to remote configurations: uses the kubeconfig`, "resolver/k8s")
	f("exporters: {loadbalancing: {protocol: {otlp: }, resolver: {aws_cloud_map: {namespace: a, service_name: b}}}}", `resolver "aws_cloud_map" is not allowed`)
	f("exporters: {otlp_http: {endpoint: 'https://a', tls: {tpm: {enabled: true}}}}", `tpm::enabled: identity "tpm"`, "identity/tpm")
	f("exporters: {otlp_http: {endpoint: 'https://a', tls: {tpm: {enabled: '${yaml:true}'}}}}", `tpm::enabled: identity "tpm"`)
	f("receivers: {prometheus: {config: {remote_write: [{url: 'http://a', sigv4: {}}]}}}", `sigv4: identity "aws"`)
	f("receivers: {prometheus: {config: {remote_write: [{url: 'http://a', azuread: {sdk: {}}}]}}}", `azuread: identity "azure"`)
	f("receivers: {prometheus: {config: {remote_write: [{url: 'http://a', google_iam: {credentials_file: /x}}]}}}", `google_iam: identity "gcp"`)
	f("receivers: {prometheus_scrape: {config: {scrape_configs: [{job_name: a, kubernetes_sd_configs: [{role: pod, kubeconfig_file: /root/.kube/config}]}]}}}",
		"kubeconfig_file: \"/root/.kube/config\" is a path")

	// Permitted: descriptions of the machine, and queries of the cluster as the pod.
	j := newJudge(t, confinement.Rules{})
	for _, config := range []string{
		"processors: {k8s_attributes: }", "processors: {k8s_attributes: {auth_type: none}}",
		"processors: {resource_detection: {detectors: [ec2, gcp, azure, kubeadm], ec2: {tags: [a], tags_from_imds: true}, gcp: {labels: []}, kubeadm: {auth_type: serviceAccount}}}",
		"exporters: {otlp_http: {endpoint: 'https://a', tls: {tpm: {enabled: false, path: ''}}}}",
		"exporters: {load_balancing: {protocol: {otlp: }, resolver: {aws_cloud_map: , static: {hostnames: [a]}}}}",
	} {
		if err := j.refused(t, []byte(config)); err != nil {
			t.Errorf("%s: %v", config, err)
		}
	}
}

// TestAllowedComponentsHaveTheirDefaults checks that allowing a component allows its
// defaults, but not the same values in a configuration.
func TestAllowedComponentsHaveTheirDefaults(t *testing.T) {
	j := newJudge(t, confinement.Rules{AllowedComponents: []string{"*"}})
	f := func(config, want string) {
		t.Helper()
		err := j.refused(t, []byte(config))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", config, err)
		}
	}
	f("receivers: {docker_stats: }", "")
	f("receivers: {docker_stats/a: {collection_interval: 1s}}", "")
	f("receivers: {docker_stats: {endpoint: 'unix:///run/docker.sock'}}", "no allowed_paths are set")
	f("extensions: {file_storage: {timeout: 1s}}", "")
	f("extensions: {file_storage: {directory: /var/lib/otelcol/file_storage}}", "no allowed_paths are set")
	f("receivers: {profiling: }", "")
	f("receivers: {ebpf_profile: }", "")
	f("receivers: {kubelet_stats: {auth_type: serviceAccount}}", "")
	f("receivers: {journald: }", "")
	for _, p := range parts(t) {
		if p.current == p.name && p.kind == "extension" && slices.Contains([]string{"opamp", "reload", "remote_config"}, p.name) {
			continue
		}
		err := j.refused(t, body(t, p.kind, p.name, nil))
		if err != nil && !strings.Contains(err.Error(), "listens beyond") && !strings.Contains(err.Error(), "is not set") &&
			!strings.Contains(err.Error(), `detector "env"`) && !strings.Contains(err.Error(), "which no rule permits") {
			t.Errorf("%s: %v", p.id(), err)
		}
	}
}

// TestNullIsWhatItDecodesTo uses null in place of maps and lists.
func TestNullIsWhatItDecodesTo(t *testing.T) {
	j := newJudge(t, confinement.Rules{})
	f := func(config, want string) {
		t.Helper()
		if err := j.refused(t, []byte(config)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", config, err)
		}
	}
	for _, null := range []string{"", "~", "null", "{}", "'${yaml:}'", "'${yaml:# x}'", "'${yaml:~}'"} {
		f("receivers: {host_metrics: {scrapers: {process: "+null+"}}}", `scraper "process" is not allowed`)
		f("receivers: {hostmetrics/x: {scrapers: {cpu: , process: "+null+"}}}", `scraper "process" is not allowed`)
		f("processors: {resource_detection: "+null+"}", `detector "env" is not allowed`)
		f("exporters: {prometheus_wal: "+null+"}", "wal::directory: is not set")
		f("exporters: {prometheus_wal: {wal: "+null+"}}", "wal::directory: is not set")
		f("extensions: {remote_config: "+null+"}", "which no rule permits")
		f("service: {telemetry: "+null+"}", "service::telemetry")
		if null != "{}" {
			f("processors: {resource_detection: {detectors: "+null+"}}", `detector "env" is not allowed`)
			f("exporters: {prometheus_wal: {wal: {directory: "+null+"}}}", "wal::directory: ")
		}
	}
	f("receivers: {host_metrics: {scrapers: '${yaml:process: }'}}", `scraper "process" is not allowed`)
	f(`receivers: {host_metrics: "${yaml:scrapers:\n  process: }"}`, `scraper "process" is not allowed`)
	f(`receivers: "${yaml:host_metrics:\n  scrapers:\n    process: }"`, `scraper "process" is not allowed`)
	f("receivers: {a: &a {scrapers: {process: }}, host_metrics: {<<: *a}}", `scraper "process" is not allowed`)
	f("receivers: {prometheus: {config: {scrape_configs: [{job_name: a, ec2_sd_configs: [{}]}]}}}", `discovery "ec2" is not allowed`)
	f("receivers: {prometheus: {target_allocator: {}}}", "no rule permits it")
	f("exporters: {prometheus_remote_write: {endpoint: 'http://a', wal: {}}}", "wal::directory: is not set")
}
