package pyroscopeexporter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/invar-otel/invar/internal/config/configtest"
)

func parse(t testing.TB, text string) (*Config, error) {
	cfg := createDefaultConfig().(*Config)
	return cfg, configtest.Parse(t, text, cfg)
}

func TestDefaults(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	cfg, err := parse(t, "endpoint: http://pyroscope:4040")
	require.NoError(t, err)
	require.Zero(t, cfg.Retry.MaxElapsedTime)
	require.Equal(t, 30*time.Second, cfg.Timeout)
	batch := cfg.Queue.Get().Batch.Get()
	require.Equal(t, time.Second, batch.FlushTimeout)
	require.Equal(t, exporterhelper.RequestSizerTypeBytes, batch.Sizer)
	require.EqualValues(t, 1<<20, cfg.MaxRequestSize)
}

func TestSelection(t *testing.T) {
	f := func(config string, name string, resource, sample bool) {
		t.Helper()
		cfg, err := parse(t, "endpoint: http://pyroscope:4040\n"+config)
		require.NoError(t, err)
		require.Equal(t, resource, newLabelRules(cfg).resource.includes(name), "as a resource attribute")
		require.Equal(t, sample, newSelection(cfg.SampleLabels, leftOutOfSamples...).includes(name), "as a sample attribute")
	}
	f("", "k8s.pod.name", true, true)
	f("", "process.pid", false, false)
	f("", "process.executable.name", true, false)
	f("", "thread.name", true, false)
	f("", "os.type", false, true)
	f("", "osmosis", true, true)
	f("", "telemetry.sdk.name", false, true)
	f("", attributeTenant, false, true)
	f("resource_labels: {include: [process.pid]}\nsample_labels: {include: [process.*]}", "process.pid", true, true)
	f("resource_labels: {exclude: [k8s.*]}", "k8s.pod.name", false, true)
	f("resource_labels: {exclude: [\"*\"], include: [k8s.namespace.name]}", "k8s.namespace.name", true, true)
	f("resource_labels: {exclude: [\"*\"], include: [k8s.namespace.name]}", "k8s.pod.name", false, true)
	f("sample_labels: {exclude: [\"*\"]}", "endpoint", true, false)
	f("tenant: {attribute: team}", "team", false, true)
	f("tenant: {attribute: team}\nresource_labels: {include: [team]}", "team", true, true)
}

func TestBaseURL(t *testing.T) {
	f := func(endpoint, want string) {
		t.Helper()
		u, err := baseURL(endpoint)
		require.NoError(t, err)
		require.Equal(t, want, u)
	}
	f("http://pyroscope:4040", "http://pyroscope:4040")
	f("http://pyroscope:4040/", "http://pyroscope:4040")
	f("https://gateway/profiles/", "https://gateway/profiles")
	f("http://pyroscope:4040/push.v1.PusherService/Push", "http://pyroscope:4040")
}

func TestWrongConfig(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parse(t, text)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	const ok = "endpoint: http://pyroscope:4040\n"
	f("timeout: 5s", "endpoint: is not set; write it like http://localhost:4040")
	f("endpoint: pyroscope:4040", `endpoint: "pyroscope:4040" is not an http or https URL; write it like http://localhost:4040`)
	f("endpoint: tcp://me:secret@pyroscope:4040", `endpoint: "tcp://me:xxxxx@pyroscope:4040" is not an http or https URL`)
	f("endpoint: http://me:secret@pyr%oscope:4040", "endpoint: cannot be read as a URL")
	f("endpoint: http://pyroscope:4040/?name=x", `has a query or a fragment`)
	f(ok+"compression: zstd", `compression: "zstd" is not what Pyroscope reads; use gzip`)
	f(ok+"max_request_size: 1 MB", `"1 MB" is not a size`)
	f(ok+"max_request_size: 1KiB", "max_request_size: 1KiB is out of range; use 16KiB to 64MiB")
	f(ok+"tenant: {value: a/b}", `tenant::value: "a/b" is no tenant to Pyroscope`)
	f(ok+"headers: {X-Scope-OrgID: sec/secret}", `headers::X-Scope-OrgID: the value is no tenant to Pyroscope`)
	f(ok+"tenant: {value: a}\nheaders: {x-scope-orgid: secret}", "tenant::value: \"a\" is named by headers::X-Scope-OrgID too")
	f(ok+"external_labels: {__name__: x}", `external_labels: "__name__" is not a label name; use letters, digits and underscores, like cluster`)
	f(ok+"external_labels: {k8s.cluster: x}", `external_labels: "k8s.cluster" is not a label name`)
	f(ok+"resource_labels: {exclude: [\"a*b\"]}", `resource_labels::exclude: "a*b" is not an attribute's name; write it like process.pid`)
	f(ok+"sample_labels: {include: [\"\"]}", `sample_labels::include: "" is not an attribute's name`)
	f(ok+"sample_labels: {only: [a]}", "only")
	f(ok+"sending_queue: {num_consumers: 0}", "num_consumers")

	// All errors are reported at once.
	_, err := parse(t, "endpoint: x\ncompression: lz4\nmax_request_size: 1")
	require.ErrorContains(t, err, "endpoint:")
	require.ErrorContains(t, err, "compression:")
	require.ErrorContains(t, err, "max_request_size:")
}
