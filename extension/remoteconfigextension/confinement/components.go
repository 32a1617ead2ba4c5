package confinement

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Kinds of components, and of the parts that some components are made of.
const (
	kindReceiver  = "receiver"
	kindProcessor = "processor"
	kindExporter  = "exporter"
	kindConnector = "connector"
	kindExtension = "extension"

	partScraper   = "scraper"   // host_metrics::scrapers
	partDetector  = "detector"  // resource_detection::detectors
	partDiscovery = "discovery" // *_sd_configs of Prometheus
	partOperator  = "operator"  // operators of log receivers
	partResolver  = "resolver"  // load_balancing::resolver
	partSASL      = "sasl"      // sasl::mechanism of kafka, in lower case
	partAuthType  = "auth_type" // auth_type of clients of Kubernetes, in lower case
	partIdentity  = "identity"  // a cloud identity, where no key names credentials
)

// sections are the parts of a collector's configuration that hold components.
var sections = map[string]string{
	"receivers":  kindReceiver,
	"processors": kindProcessor,
	"exporters":  kindExporter,
	"connectors": kindConnector,
	"extensions": kindExtension,
}

// group lists components of one kind that are permitted or refused for the same
// reason.
type group struct {
	kind   string
	types  string // separated by spaces
	reason string
}

// allowed lists the components that a remote configuration may use unless the
// administrator lists others.
var allowed = []group{
	{kindReceiver, "fluent_forward influxdb jaeger loki nop otlp pyroscope statsd syslog tcp_log udp_log zipkin",
		"takes what is sent to it, on loopback"},
	{kindReceiver, "kafka nginx pprof_scrape prometheus prometheus_scrape", "fetches from an address in the configuration"},
	{kindReceiver, "host_metrics", "reads counters of the kernel; the process scraper is not among the default parts"},
	{kindProcessor, "attributes batch cumulative_to_delta delta_to_cumulative delta_to_rate filter groupbyattrs groupbytrace " +
		"interval logdedup memory_limiter metric_start_time metrics_transform metricsgeneration probabilistic_sampler " +
		"redaction resource span tail_sampling transform unroll", "works on data in the pipeline alone"},
	{kindProcessor, "k8s_attributes", "asks the cluster's own API server for names and labels of pods"},
	{kindProcessor, "resource_detection", "describes the host; detectors that read the environment are not among the default parts"},
	{kindExporter, "clickhouse kafka load_balancing loki otlp_grpc otlp_http prometheus_remote_write pyroscope zipkin",
		"sends to an address in the configuration, with credentials in the configuration"},
	{kindExporter, "prometheus", "serves metrics, on loopback"},
	{kindExporter, "prometheus_wal", "sends to an address in the configuration; its folder must be below allowed_paths"},
	{kindExporter, "debug nop summary", "writes to the collector's log"},
	{kindConnector, "count forward service_graph span_metrics", "works on data in the pipeline alone"},
	{kindExtension, "basicauth bearertokenauth headers_setter oauth2client oidc otlp_encoding",
		"authenticates with what is in the configuration"},

	{partScraper, "cpu disk filesystem load memory network nfs paging processes system", "counts"},
	{partDetector, "akamai aks alibaba_ecs azure azurecontainerapps digitalocean dynatrace ec2 ecs elasticbeanstalk gcp heroku " +
		"hetzner ibmcloud_classic ibmcloud_vpc k8s_api k8snode kubeadm lambda nova oraclecloud scaleway system tencent_cvm upcloud vultr",
		"describes the machine from a fixed source"},
	{partDiscovery, "dns eureka file http kubernetes kuma marathon nerve puppetdb serverset static",
		"uses the credentials in the configuration, or asks the cluster's own API server"},
	{partOperator, "add assign_keys container copy csv_parser drop_output filter flatten json_array_parser json_parser key_value_parser " +
		"move noop recombine regex_parser regex_replace remove retain router sanitize_utf8 scope_name_parser severity_parser " +
		"syslog_parser time_parser trace_parser unquote uri_parser", "works on data in the pipeline alone"},
	{partResolver, "dns static", "finds addresses"},
	{partSASL, "oauthbearer plain scram-sha-256 scram-sha-512", "uses the credentials in the configuration"},
	{partAuthType, "none serviceaccount tls", "is nobody, the pod, or who the certificate in the configuration says"},
}

// refused lists the components that only the administrator can permit.
var refused = []group{
	{kindReceiver, "file_log journald otlp_json_file", "reads the host's files or runs a command"},
	{kindReceiver, "docker_stats", "reads the container engine's socket and containers' environment"},
	{kindReceiver, "ebpf_profile profiling", "loads programs into the kernel and observes every process"},
	{kindReceiver, "kubelet_stats", "sends the pod's token to an address in the configuration"},
	{kindReceiver, "k8s_cluster k8s_events k8sobjects", "reads the cluster with the identity of the host"},
	{kindExporter, "file", "writes the host's files"},
	{kindExporter, "googlecloud", "uses the cloud identity of the host"},
	{kindExtension, "sigv4auth", "uses the cloud identity of the host"},
	{kindExtension, "k8s_leader_elector", "writes to the cluster with the identity of the host"},
	{kindExtension, "file_storage", "writes the host's files"},
	{kindExtension, "health_check pprof zpages", "shows the state of the whole process"},

	{partScraper, "process", "reads the command lines of all processes"},
	{partDetector, "consul docker openshift", "uses a token or a socket of the host"},
	{partDetector, "eks", "asks AWS with the cloud identity of the host"},
	{partDetector, "env", "reads the environment"},
	{partResolver, "aws_cloud_map", "asks AWS with the cloud identity of the host"},
	{partResolver, "k8s", "uses the kubeconfig of the host's user if there is one, and runs the command that is in it"},
	{partAuthType, "kubeconfig", "uses the kubeconfig of the host's user, and runs the command that is in it"},
	{partIdentity, "aws azure gcp", "uses the cloud identity of the host, or what its user's files and environment hold"},
	{partIdentity, "tpm", "uses the host's TPM"},
}

// never lists the components that control the process. No rule permits them.
var never = []group{
	{kindExtension, "opamp reload remote_config", "steers the collector"},
}

// formerly maps deprecated names of components, which configurations still use,
// to the current ones.
var formerly = map[string]string{
	"receiver/filelog":               "file_log",
	"receiver/fluentforward":         "fluent_forward",
	"receiver/hostmetrics":           "host_metrics",
	"receiver/kubeletstats":          "kubelet_stats",
	"receiver/otlpjsonfile":          "otlp_json_file",
	"receiver/tcplog":                "tcp_log",
	"receiver/udplog":                "udp_log",
	"processor/cumulativetodelta":    "cumulative_to_delta",
	"processor/deltatocumulative":    "delta_to_cumulative",
	"processor/deltatorate":          "delta_to_rate",
	"processor/k8sattributes":        "k8s_attributes",
	"processor/metricstarttime":      "metric_start_time",
	"processor/metricstransform":     "metrics_transform",
	"processor/resourcedetection":    "resource_detection",
	"exporter/loadbalancing":         "load_balancing",
	"exporter/otlp":                  "otlp_grpc",
	"exporter/otlphttp":              "otlp_http",
	"exporter/prometheusremotewrite": "prometheus_remote_write",
	"connector/servicegraph":         "service_graph",
	"connector/spanmetrics":          "span_metrics",
}

var (
	allowedReasons = reasons(allowed)
	refusedReasons = reasons(refused)
	neverReasons   = reasons(never)
	kinds          = kindsOf(slices.Concat(allowed, refused))
)

const (
	anyName         = "*"
	defaultsPattern = "default"
)

var patternName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*|\*)$`)

func reasons(groups []group) map[string]string {
	m := map[string]string{}
	for _, g := range groups {
		for name := range strings.FieldsSeq(g.types) {
			m[g.kind+"/"+name] = g.reason
		}
	}
	return m
}

func kindsOf(groups []group) []string {
	set := map[string]bool{}
	for _, g := range groups {
		set[g.kind] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// DefaultComponents returns the components and parts, as kind/type, that a remote
// configuration may use if AllowedComponents is nil. The caller owns the slice.
func DefaultComponents() []string { return slices.Sorted(maps.Keys(allowedReasons)) }

// Known reports whether a component is classified. It exists for the test of a
// binary's component set. kind is receiver, processor, exporter, connector or
// extension; name is the current or a former type.
func Known(kind, name string) bool {
	id := kind + "/" + canonical(kind, name)
	return allowedReasons[id] != "" || refusedReasons[id] != "" || neverReasons[id] != ""
}

// canonical returns the current name of a component's type.
func canonical(kind, name string) string {
	if current, ok := formerly[kind+"/"+name]; ok {
		return current
	}
	return name
}

func isPart(kind string) bool {
	switch kind {
	case kindReceiver, kindProcessor, kindExporter, kindConnector, kindExtension:
		return false
	}
	return true
}

// allows reports whether a component or part may be used, and if not, why.
func (r *Rules) allows(kind, name string) (bool, string) {
	name = canonical(kind, name)
	id := kind + "/" + name
	if why := neverReasons[id]; why != "" {
		return false, why + ", which no rule permits"
	}
	byDefault := allowedReasons[id] != "" && (r.AllowedComponents == nil || isPart(kind))
	if byDefault || slices.ContainsFunc(r.AllowedComponents, func(p string) bool { return matches(p, kind, name) }) {
		return true, ""
	}
	switch {
	case refusedReasons[id] != "":
		return false, refusedReasons[id]
	case allowedReasons[id] != "":
		return false, "it is not in allowed_components"
	}
	return false, "it is not among those known to be harmless"
}

// matches reports whether a pattern of AllowedComponents matches a component.
func matches(pattern, kind, name string) bool {
	if pattern == defaultsPattern {
		return allowedReasons[kind+"/"+name] != ""
	}
	patternKind, patternType, both := strings.Cut(pattern, "/")
	if !both {
		patternKind, patternType = anyName, pattern
	}
	if patternKind != anyName && patternKind != kind {
		return false
	}
	return patternType == anyName || patternType == name || canonical(kind, patternType) == name
}

func validatePattern(pattern string) error {
	kind, name, both := strings.Cut(pattern, "/")
	if !both {
		kind, name = anyName, pattern
	}
	if kind != anyName && !slices.Contains(kinds, kind) {
		return fmt.Errorf("%q begins with an unknown kind; use one of %s", pattern, strings.Join(kinds, ", "))
	}
	if !patternName.MatchString(name) {
		return fmt.Errorf("%q is not a component; write it like receiver/otlp, otlp or exporter/*", pattern)
	}
	for id, why := range neverReasons {
		if neverKind, neverType, _ := strings.Cut(id, "/"); name == neverType && (kind == anyName || kind == neverKind) {
			return fmt.Errorf("%q %s, which no rule permits; leave it out", pattern, why)
		}
	}
	return nil
}
