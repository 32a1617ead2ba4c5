package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/golang/snappy"
	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/invar-otel/invar/tests/harness"
)

// TestLokiRelay pushes to the loki receiver with Loki's clients, and checks what a real
// Loki behind it has stored.
func TestLokiRelay(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, nil)
	web, rpc := harness.FreeAddr(t), harness.FreeAddr(t)
	options := harness.Options{Config: `
receivers:
  loki:
    protocols: {http: {endpoint: "${env:HTTP}"}, grpc: {endpoint: "${env:GRPC}"}}
    use_incoming_timestamp: true
exporters:
  loki:
    endpoint: ${env:LOKI}
    tenant: {header: X-Scope-OrgID}
    sending_queue: {storage: file_storage, sizer: bytes, queue_size: 1000000000, batch: {flush_timeout: 100ms}}
extensions: {file_storage: {directory: "${env:STATE_DIR}"}}
service:
  extensions: [file_storage]
  pipelines: {logs: {receivers: [loki], exporters: [loki]}}
`, Env: map[string]string{"HTTP": web, "GRPC": rpc, "LOKI": loki.URL, "STATE_DIR": t.TempDir()}}
	invar := harness.Invar(t, options)
	now := time.Now()
	url := "http://" + web + "/loki/api/v1/push"
	request := func(job string) *push.PushRequest {
		return &push.PushRequest{Streams: []push.Stream{
			{Labels: fmt.Sprintf(`{job=%q, host="web-1"}`, job), Entries: []push.Entry{
				{Timestamp: now, Line: "first", StructuredMetadata: push.LabelsAdapter{{Name: "trace_id", Value: "0102030405060708090a0b0c0d0e0f10"}, {Name: "user", Value: "u1"}}},
				{Timestamp: now.Add(1), Line: "second"},
			}},
		}}
	}
	check := func(t *testing.T, tenant, job string) {
		t.Helper()
		got := entriesOf(t, loki, tenant, fmt.Sprintf(`{job=%q}`, job), 2)
		require.Equal(t, []string{"first", "second"}, linesOf(got))
		require.Equal(t, map[string]string{"job": job, "host": "web-1", "service_name": job}, got[0].Labels, "service_name is Loki's")
		require.Equal(t, "u1", got[0].Metadata["user"])
		require.Equal(t, "0102030405060708090a0b0c0d0e0f10", got[0].Metadata["trace_id"])
		require.True(t, now.Equal(got[0].Timestamp))
	}

	t.Run("protobuf", func(t *testing.T) {
		plain, err := request("promtail").Marshal()
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(snappy.Encode(nil, plain)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-protobuf")
		req.Header.Set("X-Scope-OrgID", "one")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNoContent, resp.StatusCode)
		check(t, "one", "promtail")
	})

	t.Run("grpc", func(t *testing.T) {
		conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer conn.Close()
		_, err = push.NewPusherClient(conn).Push(metadata.AppendToOutgoingContext(t.Context(), "X-Scope-OrgID", "two"), request("grpc"))
		require.NoError(t, err)
		check(t, "two", "grpc")
	})

	t.Run("curl", func(t *testing.T) {
		curl, err := exec.LookPath("curl")
		if err != nil {
			t.Skip("curl is not installed")
		}
		body := fmt.Sprintf(`{"streams": [{"stream": {"job": "curl", "host": "web-1"}, "values": [
			["%d", "first", {"trace_id": "0102030405060708090a0b0c0d0e0f10", "user": "u1"}], ["%d", "second"]]}]}`, now.UnixNano(), now.UnixNano()+1)
		out, err := exec.CommandContext(t.Context(), curl, "--silent", "--show-error", "--write-out", "%{http_code}", "--noproxy", "*",
			"-H", "Content-Type: application/json", "-H", "X-Scope-OrgID: three", "-d", body, url).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, "204", string(out))
		check(t, "three", "curl")
	})

	t.Run("through an outage", func(t *testing.T) {
		require.NoError(t, loki.Stop())
		conn, err := grpc.NewClient(rpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		require.NoError(t, err)
		defer conn.Close()
		_, err = push.NewPusherClient(conn).Push(metadata.AppendToOutgoingContext(t.Context(), "X-Scope-OrgID", "four"), request("outage"))
		require.NoError(t, err, "it is on disk")
		require.NoError(t, invar.Stop())
		require.NotContains(t, invar.Stderr(), "Dropping data", "it is kept")
		require.Contains(t, invar.Stderr(), "are kept in the sending queue's storage")
		loki.Restart(t)
		invar = harness.Invar(t, options)
		check(t, "four", "outage")
	})
	require.NoError(t, invar.Stop())
}
