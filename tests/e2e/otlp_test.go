package e2e

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/invar-otel/invar/tests/harness"
)

// TestOTLPThroughAgentAndGateway sends the data of an SDK through an agent and a gateway,
// and compares what the gateway writes. The SDK and the link between the collectors both
// use the protocol under test.
func TestOTLPThroughAgentAndGateway(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			testAgentAndGateway(t, protocol)
		})
	}
}

func testAgentAndGateway(t *testing.T, protocol string) {
	dir := t.TempDir()
	link := harness.FreeAddr(t)
	harness.Invar(t, harness.Options{Env: map[string]string{"LINK": link, "OUT_DIR": dir}, Config: fmt.Sprintf(`
receivers: {otlp: {protocols: {%s: {endpoint: "${env:LINK}"}}}}
exporters:
  file/traces: {path: "${env:OUT_DIR}/traces.json", flush_interval: 100ms}
  file/metrics: {path: "${env:OUT_DIR}/metrics.json", flush_interval: 100ms}
  file/logs: {path: "${env:OUT_DIR}/logs.json", flush_interval: 100ms}
service:
  pipelines:
    traces: {receivers: [otlp], exporters: [file/traces]}
    metrics: {receivers: [otlp], exporters: [file/metrics]}
    logs: {receivers: [otlp], exporters: [file/logs]}
`, protocol)})

	exporter := map[string]string{
		"grpc": `otlp_grpc: {endpoint: "${env:LINK}", tls: {insecure: true}, compression: zstd}`,
		"http": `otlp_http: {endpoint: "http://${env:LINK}", compression: gzip, encoding: json}`,
	}[protocol]
	intake := harness.FreeAddr(t)
	harness.Invar(t, harness.Options{Env: map[string]string{"LINK": link, "INTAKE": intake}, Config: fmt.Sprintf(`
receivers: {otlp: {protocols: {%s: {endpoint: "${env:INTAKE}"}}}}
processors: {batch: {timeout: 100ms}}
exporters: {%s}
service:
  pipelines:
    traces: {receivers: [otlp], processors: [batch], exporters: [otlp_%[1]s]}
    metrics: {receivers: [otlp], processors: [batch], exporters: [otlp_%[1]s]}
    logs: {receivers: [otlp], processors: [batch], exporters: [otlp_%[1]s]}
`, protocol, exporter)})

	app := newSDK(t, protocol, intake, "invar-e2e")
	app.work(t)
	app.flush(t)

	traces, metrics, logs := filepath.Join(dir, "traces.json"), filepath.Join(dir, "metrics.json"), filepath.Join(dir, "logs.json")
	harness.Eventually(t, 20*time.Second, func() error {
		if s, m, l := len(readSpans(t, traces)), len(readMetrics(t, metrics)), len(readLogs(t, logs)); s < 2*workloadPairs || m < 4 || l < workloadRecords {
			return fmt.Errorf("%d spans, %d metrics and %d log records have arrived", s, m, l)
		}
		return nil
	})
	checkSpans(t, readSpans(t, traces))
	checkLogs(t, readLogs(t, logs))

	got := readMetrics(t, metrics)
	requests := got["invar.e2e.requests"].Sum()
	require.True(t, requests.IsMonotonic())
	require.Equal(t, int64(42), requests.DataPoints().At(0).IntValue())
	require.Equal(t, map[string]any{"route": "/invar-e2e"}, requests.DataPoints().At(0).Attributes().AsRaw())
	duration := got["invar.e2e.duration"].Histogram().DataPoints().At(0)
	require.Equal(t, []uint64{1, 2, 0, 1}, duration.BucketCounts().AsRaw())
	require.Equal(t, []float64{0.1, 0.5, 1}, duration.ExplicitBounds().AsRaw())
	require.InDelta(t, 2.75, duration.Sum(), 1e-9)
	require.Equal(t, "s", got["invar.e2e.duration"].Unit())
	sizes := got["invar.e2e.sizes"].ExponentialHistogram().DataPoints().At(0)
	require.Equal(t, uint64(4), sizes.Count())
	require.InDelta(t, 15, sizes.Sum(), 0)
	require.InDelta(t, -3.5, got["invar.e2e.temperature"].Gauge().DataPoints().At(0).DoubleValue(), 0)
}

func checkSpans(t *testing.T, spans []ptrace.Span) {
	t.Helper()
	require.Len(t, spans, 2*workloadPairs)
	servers := map[pcommon.SpanID]ptrace.Span{}
	for _, s := range spans {
		require.Equal(t, "invar-e2e-span", s.Name())
		if s.Kind() == ptrace.SpanKindServer {
			require.True(t, s.ParentSpanID().IsEmpty())
			servers[s.SpanID()] = s
		}
	}
	require.Len(t, servers, workloadPairs)
	for _, s := range spans {
		if s.Kind() != ptrace.SpanKindClient {
			continue
		}
		parent, ok := servers[s.ParentSpanID()]
		require.True(t, ok, "a client span's parent is a server span")
		require.Equal(t, parent.TraceID(), s.TraceID())
		require.Equal(t, parent.Attributes().AsRaw(), s.Attributes().AsRaw())
		n, _ := s.Attributes().Get("n")
		if n.Int() == 0 {
			require.Equal(t, ptrace.StatusCodeError, s.Status().Code())
			require.Equal(t, "upstream is away", s.Status().Message())
		} else {
			require.Equal(t, ptrace.StatusCodeUnset, s.Status().Code())
		}
		delete(servers, s.ParentSpanID())
	}
	require.Empty(t, servers, "every server span has its client span")
}

func checkLogs(t *testing.T, records []plog.LogRecord) {
	t.Helper()
	require.Len(t, records, workloadRecords)
	for i, r := range records {
		require.Equal(t, fmt.Sprintf("invar-e2e line %d", i), r.Body().Str(), "records keep their order")
		require.Equal(t, map[string]any{"n": int64(i)}, r.Attributes().AsRaw())
		want := plog.SeverityNumberInfo
		if i == workloadRecords-1 {
			want = plog.SeverityNumberError
		}
		require.Equal(t, want, r.SeverityNumber())
	}
}
