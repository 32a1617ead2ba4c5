package lokiexporter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/translate"
	"github.com/invar-otel/invar/internal/config/configtest"
)

func parse(t testing.TB, text string) (*Config, error) {
	cfg := createDefaultConfig().(*Config)
	return cfg, configtest.Parse(t, text, cfg)
}

func TestDefaults(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	cfg, err := parse(t, "endpoint: http://loki:3100")
	require.NoError(t, err)
	require.Equal(t, modeNative, cfg.mode())
	s := cfg.settings()
	require.Equal(t, "k8s_namespace_name", s.ResourceLabels["k8s.namespace.name"])
	require.NotContains(t, s.ResourceLabels, "k8s.pod.name", "changes with every rollout")
	require.True(t, s.Metadata)
	require.Equal(t, translate.Raw, s.Format)
	require.Zero(t, cfg.Retry.MaxElapsedTime)
	require.Equal(t, 1, cfg.Queue.Get().NumConsumers)
	require.Equal(t, time.Second, cfg.Queue.Get().Batch.Get().FlushTimeout)
}

func TestLabelSettings(t *testing.T) {
	cfg, err := parse(t, `
endpoint: http://loki:3100
labels:
  resource: {k8s.namespace.name: namespace, k8s.pod.name: "", service.name: app}
  attributes: {log.iostream: stream}
  static: {cluster: eu}
  severity: level
  drop: [k8s_container_name]
`)
	require.NoError(t, err)
	s := cfg.settings()
	require.Equal(t, "namespace", s.ResourceLabels["k8s.namespace.name"])
	require.Equal(t, "k8s_pod_name", s.ResourceLabels["k8s.pod.name"])
	require.Equal(t, "app", s.ResourceLabels["service.name"])
	require.Equal(t, []string{"k8s_container_name"}, s.Drop)
	require.Equal(t, map[string]string{"log.iostream": "stream"}, s.RecordLabels)
	require.Equal(t, map[string]string{"cluster": "eu"}, s.StaticLabels)
	require.Equal(t, "level", s.SeverityLabel)

	// The user's label replaces a default of the same name.
	cfg, err = parse(t, `{endpoint: "http://loki", labels: {resource: {my.service: service_name}}}`)
	require.NoError(t, err)
	s = cfg.settings()
	require.NotContains(t, s.ResourceLabels, "service.name")
	require.Equal(t, "service_name", s.ResourceLabels["my.service"])
}

func TestModes(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		cfg, err := parse(t, text)
		require.NoError(t, err)
		require.Equal(t, want, cfg.mode())
	}
	const full = "endpoint: http://loki:3100/loki/api/v1/push\n"
	f(full, modeContrib)
	f(full+"translation: native", modeNative)
	f(full+"labels: {severity: level}", modeNative)
	f(full+"format: raw", modeNative)
	f("endpoint: http://loki:3100", modeNative)
	f("{endpoint: http://loki:3100, default_labels_enabled: {exporter: false}}", modeContrib)
	f("{endpoint: http://loki:3100, translation: contrib}", modeContrib)

	cfg, err := parse(t, "{endpoint: http://loki, default_labels_enabled: {level: false}, labels: {static: {a: b}}}")
	require.NoError(t, err)
	require.Equal(t, translate.JSON, cfg.settings().Format, "only the key format changes it")
	require.False(t, cfg.settings().Metadata)
	require.Equal(t, map[string]string{"a": "b"}, cfg.settings().StaticLabels)

	cfg, err = parse(t, full+"default_labels_enabled: {exporter: false, job: true}\nsending_queue: {enabled: true, num_consumers: 10, queue_size: 5000}\nretry_on_failure: {max_elapsed_time: 300s}\nheaders: {X-Scope-OrgID: acme}\ntls: {insecure: true}")
	require.NoError(t, err)
	s := cfg.settings()
	require.Equal(t, &translate.Contrib{Job: true, Instance: true, Level: true}, s.Contrib)
	require.Equal(t, translate.JSON, s.Format)
	require.False(t, s.Metadata)
}

func TestPushURL(t *testing.T) {
	f := func(endpoint, want string) {
		t.Helper()
		u, err := pushURL(endpoint)
		require.NoError(t, err)
		require.Equal(t, want, u.String())
	}
	f("http://loki:3100", "http://loki:3100/loki/api/v1/push")
	f("http://loki:3100/", "http://loki:3100/loki/api/v1/push")
	f("https://gateway/loki-write", "https://gateway/loki-write/loki/api/v1/push")
	f("http://loki:3100/loki/api/v1/push", "http://loki:3100/loki/api/v1/push")
	f("http://loki:3100/api/prom/push", "http://loki:3100/api/prom/push")
}

func TestWrongConfig(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parse(t, text)
		require.ErrorContains(t, err, want)
	}
	const ok = "endpoint: http://loki:3100\n"
	f("timeout: 5s", "endpoint: is not set; write it like http://localhost:3100")
	f("endpoint: loki:3100", `endpoint: "loki:3100" is not an http or https URL`)
	f(ok+"compression: snappy", `compression: "snappy" is not what Loki reads; use gzip`)
	f(ok+"format: text", `format: "text" is not known; use raw or json or logfmt`)
	f(ok+"encoding: xml", `encoding: "xml" is not known; use protobuf or json`)
	f(ok+"translation: old", `translation: "old" is not known`)
	f(ok+"labels: {on_limit: warn}", `labels::on_limit: "warn" is not known; use keep or drop`)
	f(ok+"labels: {max_values: -1}", "labels::max_values: -1 is out of range")
	f(ok+"labels: {resource: {a: b-c}}", `labels::resource: "b-c" is not a label name`)
	f(ok+"labels: {static: {__x: y}}", `labels::static: "__x" is not a label name`)
	f(ok+"labels: {attributes: {a.b: \"\", a/b: \"\"}}", `labels::attributes: both "a.b" and "a/b" become the label "a_b"`)
	f(ok+"labels: {resources: {a: b}}", "resources")
	f(ok+"max_request_size: 1 MB", `"1 MB" is not a size`)
	f(ok+"max_request_size: 1KiB", "max_request_size: 1KiB is out of range; use 16KiB to 64MiB")
	f(ok+"max_concurrent_requests: 0", "max_concurrent_requests: 0 is out of range")
	f(ok+"default_labels_enabled: {pod: true}", `default_labels_enabled: "pod" is not known; use exporter or job or instance or level`)
	f(ok+"default_labels_enabled: {job: true}\ntranslation: native", "belongs to translation: contrib")
	f(ok+"tenant: {value: a/b}", `tenant::value: "a/b" is no tenant to Loki`)
	f(ok+"labels: {on_limit: drop}\nstructured_metadata: {enabled: false}", "labels::on_limit: drop would lose values")
	f(ok+"tenant: {value: a}\nheaders: {x-scope-orgid: secret}", "tenant::value: \"a\" is named by headers::X-Scope-OrgID too")

	// All errors are reported at once.
	_, err := parse(t, "endpoint: x\nformat: y\nencoding: z")
	require.ErrorContains(t, err, "endpoint:")
	require.ErrorContains(t, err, "format:")
	require.ErrorContains(t, err, "encoding:")
}
