package confinement

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(text), &m))
	return m
}

// check applies the checks before and after expansion to a configuration. want is
// part of the first error, or empty.
func check(t *testing.T, rules Rules, text, want string) {
	t.Helper()
	require.NoError(t, rules.Validate())
	m := parse(t, text)
	err := rules.CheckRaw(m)
	if err == nil {
		err = rules.CheckResolved(m, Components{})
	}
	if want == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, want)
}

func TestOrdinaryPipelinesPass(t *testing.T) {
	check(t, Rules{}, `
receivers:
  otlp: {protocols: {grpc: {endpoint: "127.0.0.1:4317"}}}
  hostmetrics: {scrapers: {cpu: {}, disk: {include: {devices: [sda]}}}}
  prometheus:
    config:
      global: {external_labels: {env: prod, path: /x, file: a.txt}}
      scrape_configs:
        - job_name: a
          metrics_path: /metrics
          params: {file: [x]}
          static_configs: [{targets: ["localhost:9090"], labels: {dir: /y}}]
          kubernetes_sd_configs: [{role: pod}]
          relabel_configs: [{source_labels: [a], replacement: "$$1/x", target_label: path}]
  syslog:
    tcp: {listen_address: "127.0.0.1:54526"}
    operators:
      - {type: regex_parser, regex: '^(?P<env>\w+)'}
      - {type: filter, expr: 'attributes.env == "prod" or attributes["env"] == "x"'}
      - {type: add, field: attributes.a, value: 'EXPR(attributes.environment)'}
processors:
  batch:
  resource_detection: {detectors: [system, gcp]}
  filter: {logs: {include: {match_type: strict, bodies: [a]}}}
  attributes: {actions: [{key: file, value: /etc/x, action: insert}]}
  transform: {log_statements: [{context: log, statements: ['set(log.attributes["file"], "/etc/passwd")']}]}
exporters:
  otlphttp/a: {endpoint: "https://x:4318", headers: {path: /x}, tls: {include_system_ca_certs_pool: true, ca_pem: abc}}
  otlp: {endpoint: "dns:///x:4317"}
  kafka: {brokers: [a:9092], auth: {sasl: {mechanism: SCRAM-SHA-512, username: a, password: b}}}
  debug: {output_paths: [stdout]}
extensions:
  basicauth/x: {client_auth: {username: a, password: "a$b"}}
service:
  extensions: [basicauth/x]
  pipelines: {metrics: {receivers: [otlp], exporters: [otlphttp/a]}}`, "")
}

func TestComponents(t *testing.T) {
	receiver := func(id string) string { return "receivers: {" + id + ": {}}" }
	check(t, Rules{}, receiver("file_log"), `receivers::file_log: receiver "file_log" is not allowed`)
	check(t, Rules{}, receiver("filelog/x"), `receivers::filelog/x: receiver "file_log" is not allowed`)
	check(t, Rules{}, receiver(`" journald /x"`), `receiver "journald" is not allowed`)
	check(t, Rules{}, receiver("kubeletstats"), "sends the pod's token")
	check(t, Rules{}, receiver("some_new"), "not among those known to be harmless")
	check(t, Rules{}, receiver(`"a::b"`), "receivers::a::b: is not the name of a component")
	check(t, Rules{}, receiver(`"$x"`), "is not the name of a component")
	check(t, Rules{AllowedComponents: []string{"default", "receiver/file_log"}}, receiver("filelog"), "")
	check(t, Rules{AllowedComponents: []string{"filelog"}}, receiver("file_log"), "")
	check(t, Rules{AllowedComponents: []string{"receiver/*"}}, receiver("file_log"), "")
	check(t, Rules{AllowedComponents: []string{"otlp"}}, receiver("otlp"), "")
	check(t, Rules{AllowedComponents: []string{"otlp"}}, "exporters: {otlp_grpc: {endpoint: a}}", "")
	check(t, Rules{AllowedComponents: []string{"otlp"}}, receiver("loki"), "it is not in allowed_components")
	check(t, Rules{AllowedComponents: []string{"exporter/*"}}, receiver("otlp"), "it is not in allowed_components")

	for _, id := range []string{"opamp", "reload/x", "remote_config"} {
		check(t, Rules{AllowedComponents: []string{"*"}}, "extensions: {"+id+": {}}", "which no rule permits")
	}
	check(t, Rules{}, "service: {telemetry: {logs: {output_paths: [/tmp/x]}}}", "service::telemetry: is the host's")
	check(t, Rules{}, "include: [/etc/x]", "include: is not a section")
	check(t, Rules{}, "receivers: [otlp]", "receivers: is not a map of components")
	check(t, Rules{}, "receivers: {otlp: {endpoint: 2020-01-01}}", "")
}

func TestParts(t *testing.T) {
	check(t, Rules{}, "receivers: {host_metrics: {scrapers: {process: {}}}}",
		`receivers::host_metrics::scrapers::process: scraper "process" is not allowed`)
	check(t, Rules{AllowedComponents: []string{"default", "scraper/process"}}, "receivers: {host_metrics: {scrapers: {process: {}}}}", "")

	check(t, Rules{}, "processors: {resource_detection: {detectors: [system, openshift]}}", `detector "openshift" is not allowed`)
	check(t, Rules{}, "processors: {resourcedetection: {detectors: 'system, consul'}}", `detector "consul" is not allowed`)
	check(t, Rules{}, "processors: {resource_detection: {}}", `processors::resource_detection::detectors: detector "env" is not allowed`)
	check(t, Rules{}, "processors: {resource_detection: }", `detector "env" is not allowed`)
	check(t, Rules{AllowedProviders: []string{"env"}}, "processors: {resource_detection: {}}", "")

	scrape := func(sd string) string {
		return "receivers: {prometheus_scrape: {config: {scrape_configs: [{job_name: a, " + sd + "}]}}}"
	}
	check(t, Rules{}, scrape("ec2_sd_configs: [{}]"), `scrape_configs::0::ec2_sd_configs: discovery "ec2" is not allowed`)
	check(t, Rules{}, scrape("consul_sd_configs: [{server: a}]"), `discovery "consul" is not allowed`)
	check(t, Rules{AllowedComponents: []string{"default", "discovery/consul"}}, scrape("consul_sd_configs: [{server: a}]"), "")
	check(t, Rules{}, scrape("http_sd_configs: [{url: 'http://x'}]"), "")

	check(t, Rules{}, "exporters: {load_balancing: {resolver: {aws_cloud_map: {}}}}", `resolver "aws_cloud_map" is not allowed`)
	check(t, Rules{}, "exporters: {kafka: {auth: {sasl: {mechanism: AWS_MSK_IAM_OAUTHBEARER}}}}", `sasl "aws_msk_iam_oauthbearer" is not allowed`)

	check(t, Rules{}, "receivers: {udp_log: {operators: [{type: file_input}]}}", `operator "file_input" is not allowed`)
	check(t, Rules{}, "receivers: {udp_log: {operators: [{type: file_output, path: /x}]}}", `operator "file_output" is not allowed`)
	check(t, Rules{}, "receivers: {udp_log: {operators: [{type: stdin}]}}", `operator "stdin" is not allowed`)
}

func TestWaysAroundTheRules(t *testing.T) {
	all := Rules{AllowedComponents: []string{"*"}, AllowedProviders: []string{"env", "file"}, AllowedPaths: []string{"/"}}
	check(t, all, "receivers: {prometheus: {target_allocator: {endpoint: 'http://x'}}}",
		"receivers::prometheus::target_allocator: loads configuration that these rules do not see; no rule permits it")
	check(t, all, "receivers: {prometheus: {config: {scrape_config_files: [/a]}}}", "scrape_config_files: loads configuration")
	check(t, all, "receivers: {otlp: {'protocols::grpc': {}}}", "receivers::otlp::protocols::grpc: is a key in parts")
}

func TestEnvironment(t *testing.T) {
	with := Rules{AllowedProviders: []string{"env"}}
	refused := func(text, want string) {
		t.Helper()
		check(t, Rules{}, text, want)
		check(t, with, text, "")
	}
	refused("receivers: {otlp: {endpoint: '${env:SECRET}'}}", "receivers::otlp::endpoint: ${env:SECRET} reads the environment")
	refused("receivers: {otlp: {endpoint: 'a${SECRET}'}}", "${env:SECRET} reads")
	refused("receivers: {otlp: {a: '${env:SECRET:-x}'}}", "${env:SECRET} reads")
	refused("receivers: {otlp: {a: ['x', '$$${SECRET}']}}", "receivers::otlp::a::1: ${env:SECRET} reads")
	refused("receivers: {otlp: {'${SECRET}': x}}", "${env:SECRET} reads")
	refused("receivers: {otlp: {a: '${yaml:[\"${NESTED}\"]}'}}", "${env:NESTED} reads")
	refused("service: {pipelines: {x: '${HOME}'}}", "service::pipelines::x: ${env:HOME}")
	check(t, Rules{}, "receivers: '${HOME}'", "receivers: ${env:HOME} reads")
	refused("processors: {k8s_attributes: {filter: {node_from_env_var: SECRET}}}", `"SECRET" is a variable of the environment`)

	refused("receivers: {prometheus: {config: {global: {external_labels: {a: '$SECRET'}}}}}", "external_labels::a: Prometheus replaces $")
	refused("receivers: {prometheus_scrape: {config: {global: {external_labels: {b: '$${SECRET}'}}}}}", "external_labels::b: Prometheus")

	refused(`receivers: {syslog: {operators: [{type: add, value: 'EXPR(env("S"))'}]}}`, "operators::0::value: reads the environment")
	refused(`receivers: {tcp_log: {attributes: {a: 'x EXPR("a" + env("S"))'}}}`, "attributes::a: reads the environment")
	refused(`receivers: {udp_log: {operators: [{type: noop, if: '$env["os_"+"env_func"]("S") == "a"'}]}}`, "if: reads")
	refused(`receivers: {syslog: {operators: [{type: router, routes: [{expr: '(env)("S") == "a"'}]}]}}`, "0::expr: reads")
	refused(`receivers: {syslog: {operators: [{type: recombine, is_first_entry: 'os_env_func("S") == ""'}]}}`, "is_first_entry: reads")
	refused(`receivers: {syslog: {operators: [{type: noop}, {type: noop, if: 'len(1..env("S")) > 1'}]}}`, "1::if: reads")

	// An escaped reference is plain text.
	check(t, Rules{}, "exporters: {otlp: {headers: {a: '$${SECRET}'}}}", "")
	check(t, Rules{}, "exporters: {otlp: {headers: {a: '${SECRET'}}}", "")
	check(t, with, "exporters: {otlp: {headers: {a: '${file:/etc/shadow}'}}}", "file is not among allowed_providers")
	check(t, with, "exporters: {otlp: {headers: {a: '${http://x/y}'}}}", "${http:…} is not allowed")
	check(t, with, "exporters: {otlp: {headers: {a: '${builtin:kubernetes}'}}}", "${builtin:…} is not allowed")
}

func TestValuesAreNotShown(t *testing.T) {
	var rules Rules
	err := rules.CheckRaw(parse(t, `
receivers: {prometheus: {config: {global: {external_labels: {a: 'hidden1$X'}}}}, syslog: {attributes: {a: 'hidden2 EXPR(env("X"))'}}}
exporters: {otlp: {headers: {a: 'hidden3${env:A${B}hidden4}'}}, kafka: {auth: {sasl: {password: "hidden5${X}"}}}}`))
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hidden")
}

func TestFindingsAndDepthAreBounded(t *testing.T) {
	var rules Rules
	many := map[string]any{}
	for i := range 1000 {
		many[fmt.Sprintf("file_log/%d", i)] = nil
	}
	err := rules.CheckRaw(map[string]any{"receivers": many})
	require.ErrorContains(t, err, "and 980 more")
	require.Less(t, len(err.Error()), 5000)

	deep := map[string]any{}
	for range 100_000 {
		deep = map[string]any{"a": []any{deep}}
	}
	require.ErrorContains(t, rules.CheckRaw(map[string]any{"receivers": map[string]any{"otlp": deep}}), "is nested deeper than 64")
	require.ErrorContains(t, rules.CheckRaw(map[string]any{"receivers": map[string]any{"otlp": map[string]any{"a": []string{"x"}}}}), "has the type []string")
}

func FuzzCheckRaw(f *testing.F) {
	for _, seed := range []string{
		"receivers: {otlp: {protocols: {grpc: {endpoint: 'unix:///x'}}}}",
		"receivers: {file_log: {include: [/var/log/*]}}",
		"exporters: {otlp: {tls: {ca_file: '${file:/x}'}, headers: {a: '$${B}${C}'}}}",
		"service: {telemetry: {}}\nreceivers: ${yaml:a}",
		"? [a]\n: b",
		"receivers: {otlp: {1: {2: [a, {<<: {b: c}}]}}}",
		"processors: {resource_detection: {detectors: env}}",
	} {
		f.Add([]byte(seed))
	}
	rules := Rules{AllowedPaths: []string{f.TempDir()}}
	f.Fuzz(func(t *testing.T, text []byte) {
		var m map[string]any
		if yaml.Unmarshal(text, &m) != nil {
			return
		}
		raw := rules.CheckRaw(m)
		if repeated := rules.CheckRaw(m); fmt.Sprint(raw) != fmt.Sprint(repeated) {
			t.Fatalf("the second check differs: %v, %v", raw, repeated)
		}
		// These rules never permit a component that controls the collector.
		extensions, _ := m["extensions"].(map[string]any)
		for id := range extensions {
			if strings.HasPrefix(id, "remote_config") && raw == nil {
				t.Fatalf("%q passed", id)
			}
		}
		_ = rules.CheckResolved(m, Components{})
	})
}
