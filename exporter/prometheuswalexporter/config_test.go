package prometheuswalexporter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/config/configtest"
)

func TestConfigStruct(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
}

func parseConfig(t testing.TB, text string) (*Config, error) {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	return cfg, configtest.Parse(t, text, cfg)
}

func TestConfig(t *testing.T) {
	cfg, err := parseConfig(t, `
endpoint: https://mimir:8080/api/v1/push
headers: {X-Scope-OrgID: secret-tenant}
external_labels: {cluster: eu-1}
write_relabel_configs: [{source_labels: [__name__], regex: go_.*, action: drop}]
wal: {directory: /var/lib/invar/wal, max_size: 20GiB, max_age: 2h, segment_size: 67108864, fsync_interval: 0s}
queue: {shards: 8, max_samples_per_send: 2000, batch_send_deadline: 1s}
translation: {strategy: NoTranslation, promote_resource_attributes: [k8s.pod.name]}
`)
	require.NoError(t, err)
	require.Equal(t, bytesize.Size(20<<30), cfg.WAL.MaxSize)
	require.Equal(t, bytesize.Size(64<<20), cfg.WAL.SegmentSize)
	require.Equal(t, 2*time.Hour, cfg.WAL.MaxAge)
	require.Zero(t, cfg.WAL.FsyncInterval)
	relabel, err := cfg.relabelConfigs()
	require.NoError(t, err)
	require.Len(t, relabel, 1)

	out := confmap.New()
	require.NoError(t, out.Marshal(cfg))
	require.Equal(t, "20GiB", out.Get("wal::max_size"))
	require.NotContains(t, out.ToStringMap(), "secret-tenant")
}

func TestWrongConfigs(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parseConfig(t, text)
		require.ErrorContains(t, err, want)
	}
	const ok = "endpoint: http://h/w\n"
	f(``, "endpoint: is not set; write it like http://localhost:9090/api/v1/write")
	f(`endpoint: localhost:9090`, `endpoint: "localhost:9090" is not an http or https URL`)
	f(ok+`wal: {max_size: "10 GB"}`, `"10 GB" is not a size; write it like 10GiB`)
	f(ok+`wal: {max_size: "10 GB"}`, `wal`)
	f(ok+`wal: {segment_size: 1KiB}`, "wal::segment_size: 1KiB is out of range; use 1MiB to 1GiB")
	f(ok+`wal: {max_size: 200MiB}`, "wal::max_size: 200MiB is less than two segments of 128MiB")
	f(ok+`wal: {max_age: 5s}`, "wal::max_age: 5s is too short")
	f(ok+`wal: {fsync_interval: -1s}`, "wal::fsync_interval: -1s is out of range")
	f(ok+`wal: {dir: x}`, "dir")
	for _, want := range []string{"wal::max_age: 5s", "wal::fsync_interval: 2m0s", "queue::shards: 0"} { // all are named at once
		f(ok+"wal: {max_age: 5s, fsync_interval: 2m}\nqueue: {shards: 0}", want)
	}
	f(ok+`queue: {shards: 0}`, "queue::shards: 0 is out of range; use 1 to 256")
	f(ok+`queue: {max_samples_per_send: 0}`, "queue::max_samples_per_send: 0 is out of range")
	f(ok+`queue: {batch_send_deadline: 0s}`, "queue::batch_send_deadline: 0s is not positive")
	f(ok+`protobuf_message: v2`, `protobuf_message: "v2" is not known; use auto, io.prometheus.write.v2.Request or prometheus.WriteRequest`)
	f(ok+`compression: gzip`, `compression: "gzip" cannot be chosen: remote write is always snappy`)
	f(ok+`retry_on_failure: {enabled: false}`, "retry_on_failure::enabled: false would lose samples")
	f(ok+`retry_on_failure: {max_elapsed_time: 5m}`, "retry_on_failure::max_elapsed_time: 5m0s does not apply")
	f(ok+`external_labels: {__name__: x}`, `external_labels: "__name__" would have no effect, as every series has it; use write_relabel_configs`)
	f(ok+`external_labels: {"": x}`, `external_labels: "" is not a label name; it has to be UTF-8 and not empty, like cluster`)
	f(ok+`out_of_order_time_window: -1m`, "out_of_order_time_window: -1m0s is negative; use like 30m")
	f(ok+`write_relabel_configs: [{action: frobnicate}]`, `write_relabel_configs: unknown relabel action "frobnicate"`)
	f(ok+`write_relabel_configs: [{action: replace}]`, "write_relabel_configs")
	f(ok+`write_relabel_configs: [{regexx: a}]`, "write_relabel_configs")
	f(ok+`translation: {strategy: Snake}`, `translation::strategy: "Snake" is not known; use UnderscoreEscapingWithSuffixes`)
	f(ok+`translation: {promote_all_resource_attributes: true, promote_resource_attributes: [a]}`, "translation::promote_resource_attributes: has no effect")
	f(ok+`translation: {ignore_resource_attributes: [a]}`, "translation::ignore_resource_attributes: has no effect")
}
