package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// relay starts invar with the configuration in the README of the loki receiver, and
// returns the URL to push to.
func relay(t *testing.T, loki *harness.LokiServer) (url string, invar *harness.Process) {
	t.Helper()
	web := harness.FreeAddr(t)
	invar = harness.Invar(t, harness.Options{Config: `
receivers:
  loki:
    protocols: {http: {endpoint: "${env:HTTP}"}}
    use_incoming_timestamp: true
exporters:
  loki:
    endpoint: ${env:LOKI}
    tenant: {header: X-Scope-OrgID}
    sending_queue: {storage: file_storage, sizer: bytes, queue_size: 1000000000, batch: {flush_timeout: 50ms}}
extensions: {file_storage: {directory: "${env:STATE_DIR}"}}
service:
  extensions: [file_storage]
  pipelines: {logs: {receivers: [loki], exporters: [loki]}}
`, Env: map[string]string{"HTTP": web, "LOKI": loki.URL, "STATE_DIR": t.TempDir()}})
	return "http://" + web, invar
}

func pushTo(t *testing.T, url, tenant, content string, body []byte) (status int, message string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/loki/api/v1/push", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", content)
	req.Header.Set("X-Scope-OrgID", tenant)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(text)
}

// everything returns all entries of a tenant in Loki, sorted.
func everything(loki *harness.LokiServer, tenant string) ([]harness.LokiEntry, error) {
	got, err := loki.Query(tenant, `{service_name=~".+"}`)
	slices.SortFunc(got, func(a, b harness.LokiEntry) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return got, err
}

// TestLokiPushAsLoki pushes the same requests to a real Loki and to invar in front of it.
// Invar must accept what Loki accepts, and Loki must store the same.
func TestLokiPushAsLoki(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, nil)
	url, invar := relay(t, loki)
	now := time.Now()
	var pushed [][]byte
	names := func(n int) (direct, relayed string) { return fmt.Sprint("direct-", n), fmt.Sprint("relayed-", n) }
	f := func(content string, body []byte) {
		t.Helper()
		direct, relayed := names(len(pushed))
		wantStatus, wantText := pushTo(t, loki.URL, direct, content, body)
		status, text := pushTo(t, url, relayed, content, body)
		t.Logf("%.100q: Loki %d %.80q, Invar %d %.80q", body, wantStatus, wantText, status, text)
		if wantStatus/100 == 2 {
			require.Equal(t, 2, status/100, "%.200q", body)
		}
		pushed = append(pushed, body)
	}
	inJSON := func(text string) {
		t.Helper()
		f("application/json", []byte(strings.ReplaceAll(text, "NOW", fmt.Sprint(now.UnixNano()))))
	}
	values := func(entries string) {
		t.Helper()
		inJSON(`{"streams": [{"stream": {"a": "b"}, "values": [` + entries + `]}]}`)
	}
	labels := func(pairs string) {
		t.Helper()
		inJSON(`{"streams": [{"stream": {` + pairs + `}, "values": [["NOW", "x"]]}]}`)
	}
	labels(`"a": "b"`)
	labels(`"a": 1`)
	labels(`"a": 1.50e3, "b": true, "c": null, "d": {"x": "y"}, "e": [1, "2"]`)
	labels(`"a": "", "b": "c"`)
	labels(`"a": ""`)
	labels(``)
	labels(`"a": "1", "a": "2"`)
	labels(`"a-b": "c"`)
	labels(`"a.b": "c"`)
	labels(`"a": "\u00e9\n\"\\"`)
	values(`["NOW", "x"], null, ["NOW", "y", {}]`)
	values(`["NOW", "x", {"k": "v", "k.2": "w", "k": "again"}, "more", 5, null]`)
	values(`["NOW", "x", {"k": "line\nbreak \u0041"}]`)
	values(`["NOW", "x", {"k": 1}]`)
	values(`["NOW", "x", {"k": null}]`)
	values(`["NOW", "x", null]`)
	values(`["NOW", "x", []]`)
	values(`[NOW, "x"]`)
	values(`["NOW", 5]`)
	values(`["NOW"]`)
	values(`[]`)
	values(`"x"`)
	inJSON(`{"streams": [{"stream": {"a": "b"}, "values": null}]}`)
	inJSON(`{"streams": [{"stream": {"a": "b"}}]}`)
	inJSON(`{"streams": [{"values": [["NOW", "x"]]}]}`)
	inJSON(`{"streams": [{"stream": null, "values": [["NOW", "x"]]}]}`)
	inJSON(`{"streams": [null]}`)
	inJSON(`{"streams": null}`)
	inJSON(`{"Streams": [{"stream": {"a": "b"}, "values": [["NOW", "x"]], "x": 1}], "y": {}} trailing`)
	// Names of hints, fields and labels.
	values(`["NOW", "x", {"loki.tenant": "k", "k": "other", "loki.format": "json", "loki.attribute.labels": "k", "loki.resource.labels": "k"}]`)
	values(`["NOW", "x", {"trace_id": "00000000000000000000000000000000", "span_id": "ABCDEF0102030405"}]`)
	values(`["NOW", "x", {"trace_id": "0102030405060708090A0B0C0D0E0F10", "detected_level": "unknown"}]`)
	inJSON(`{"streams": [{"stream": {"loki_tenant": "k", "k": "v"}, "values": [["NOW", "x", {"loki.format": "logfmt"}]]}]}`)

	inProtobuf := func(streams ...push.Stream) {
		t.Helper()
		plain, err := (&push.PushRequest{Streams: streams}).Marshal()
		require.NoError(t, err)
		f("application/x-protobuf", snappy.Encode(nil, plain))
	}
	entry := []push.Entry{{Timestamp: now, Line: "x", StructuredMetadata: push.LabelsAdapter{{Name: "loki.tenant", Value: "k"}, {Name: "k", Value: "other"}}}}
	inProtobuf(push.Stream{Labels: `{a="b"}`, Entries: entry})
	inProtobuf(push.Stream{Labels: `{a="b"}`, Entries: entry}, push.Stream{Labels: `{}`}, push.Stream{})
	inProtobuf(push.Stream{Labels: `{a="b", c=""}`, Entries: entry})
	inProtobuf()
	for n, body := range pushed {
		direct, relayed := names(n)
		want, err := everything(loki, direct)
		require.NoError(t, err)
		if len(want) == 0 {
			continue
		}
		harness.Eventually(t, 20*time.Second, func() error {
			got, err := everything(loki, relayed)
			if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
				err = fmt.Errorf("%.100q: Loki has %v instead of %v", body, got, want)
			}
			return err
		})
	}
	require.NoError(t, invar.Stop())

	tenants, err := everything(loki, "other")
	require.NoError(t, err)
	require.Empty(t, tenants, "what a client sends names no tenant")
}

// TestLokiHostile sends requests to the whole binary that have caused crashes before.
func TestLokiHostile(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, nil)
	url, invar := relay(t, loki)
	empty := bytes.Repeat([]byte("\n\x00"), 9<<20)
	status, _ := pushTo(t, url, "one", "application/x-protobuf", snappy.Encode(nil, empty))
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	bad := bytes.Repeat([]byte("\n\x05\n\x01{\x12\x00"), 200_000)
	status, text := pushTo(t, url, "one", "application/x-protobuf", snappy.Encode(nil, bad))
	require.Equal(t, http.StatusBadRequest, status)
	require.Less(t, len(text), 8<<10)
	entries, err := (&push.PushRequest{Streams: []push.Stream{{Labels: `{a="b"}`, Entries: make([]push.Entry, 1_000_000)}}}).Marshal()
	require.NoError(t, err)
	status, _ = pushTo(t, url, "one", "application/x-protobuf", snappy.Encode(nil, entries))
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
	require.NoError(t, invar.Stop())
}
