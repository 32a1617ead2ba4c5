package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/lokisink"
)

// TestLokiStrangeLogs sends entries that a real Loki refuses or changes. Only the faulty
// entry may be lost, and it must be counted with Loki's reason.
func TestLokiStrangeLogs(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, map[string]any{
		"max_line_size": "256KB", "max_streams_per_user": 50, "max_label_names_per_series": 15, "max_structured_metadata_size": "1KB",
	})
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{
		Config: otlpToLoki(`
    labels: {attributes: {id: "", a1: "", a2: "", a3: "", a4: "", a5: "", a6: "", a7: "", a8: "", a9: "", b1: "", b2: "", b3: "", b4: "", b5: "", b6: ""}}
    headers: {X-Scope-OrgID: strange}
`),
		Env: map[string]string{"OTLP_HTTP": addr, "LOKI": loki.URL},
	})
	now := time.Now()
	refused := func(reason string) float64 {
		return metricValue(t, invar, "otelcol_exporter_loki_refused_log_records", `reason="`+reason+`"`)
	}
	// mixed sends a faulty record among valid ones, and waits for the valid ones.
	mixed := func(name, reason string, fault func(plog.LogRecord)) {
		t.Run(name, func(t *testing.T) {
			service := strings.ReplaceAll(name, " ", "_")
			before := refused(reason)
			ld := plog.NewLogs()
			for i := range 41 {
				lr := record(ld, service, fmt.Sprintf("%02d", i), now.Add(time.Duration(i)))
				if i == 20 {
					fault(lr)
				}
			}
			sendLogs(t, addr, nil, ld)
			got := linesOf(entriesOf(t, loki, "strange", `{service_name="`+service+`"}`, 40))
			require.NotContains(t, got, "20")
			require.True(t, slices.IsSorted(got))
			harness.Eventually(t, 10*time.Second, func() error {
				if n := refused(reason) - before; n != 1 {
					return fmt.Errorf("%v refused for %s, want 1", n, reason)
				}
				return nil
			})
		})
	}
	mixed("a 10 MB line", "line_too_long", func(lr plog.LogRecord) { lr.Body().SetStr(strings.Repeat("x", 10_000_000)) })
	mixed("in the future", "too_far_in_future", func(lr plog.LogRecord) { lr.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(1000 * time.Hour))) })
	mixed("before 1970", "greater_than_max_sample_age", func(lr plog.LogRecord) {
		lr.SetTimestamp(pcommon.NewTimestampFromTime(time.Date(1969, 7, 20, 0, 0, 0, 0, time.UTC)))
	})
	mixed("too far behind", "too_far_behind", func(lr plog.LogRecord) { lr.SetTimestamp(pcommon.NewTimestampFromTime(now.Add(-100 * time.Hour))) })
	mixed("too much metadata", "structured_metadata_too_large", func(lr plog.LogRecord) {
		lr.Attributes().PutStr("much", strings.Repeat("x", 2000))
	})
	mixed("too many labels", "max_label_names_per_series", func(lr plog.LogRecord) {
		for _, name := range []string{"id", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "b1", "b2", "b3", "b4", "b5", "b6"} {
			lr.Attributes().PutStr(name, "x")
		}
	})

	t.Run("taken as they are", func(t *testing.T) {
		for i, c := range []struct{ name, line, want string }{
			{"empty", "", ""},
			{"nul", "a\x00b", "a\x00b"},
			{"not UTF-8", "a\xff\xfeb", "a\uFFFDb"},
			{"lines", "a\r\nb\n", "a\r\nb\n"},
		} {
			service := fmt.Sprint("strange", i)
			ld := plog.NewLogs()
			lr := record(ld, service, c.line, now)
			if c.name == "empty" {
				lr.Body().SetStr("")
			}
			lr.Attributes().PutStr("id", "v\xff\"\\\x01")
			sendLogs(t, addr, nil, ld)
			e := entriesOf(t, loki, "strange", `{service_name="`+service+`"}`, 1)[0]
			require.Equal(t, c.want, e.Line, c.name)
			require.Equal(t, "v?\"\\\x01", e.Labels["id"])
		}
	})

	t.Run("too many streams", func(t *testing.T) {
		ld := plog.NewLogs()
		record(ld, "known", "before", now)
		sendLogs(t, addr, nil, ld)
		entriesOf(t, loki, "strange", `{service_name="known"}`, 1)
		// Loki's ingester returns only the error of the last stream of a request, so
		// the valid stream must come first.
		ld = plog.NewLogs()
		record(ld, "known", "after", now.Add(1))
		for i := range 200 {
			record(ld, "exploding", "x", now).Attributes().PutStr("id", fmt.Sprint(i))
		}
		sendLogs(t, addr, nil, ld)
		require.Equal(t, []string{"before", "after"}, linesOf(entriesOf(t, loki, "strange", `{service_name="known"}`, 2)))
		harness.Eventually(t, 20*time.Second, func() error {
			if n := refused("stream_limit"); n < 150 || n >= 200 {
				return fmt.Errorf("%v refused for stream_limit, want most of 200", n)
			}
			return nil
		})
	})
	require.NoError(t, invar.Stop())
}

// TestLokiRateLimit exceeds the rate limit of a tenant, at first with requests larger than
// its burst. All entries must arrive nevertheless.
func TestLokiRateLimit(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, map[string]any{
		"ingestion_rate_mb": 1, "ingestion_burst_size_mb": 1, "unordered_writes": false, // an entry out of order is refused
	})
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{
		Config: otlpToLoki("    tenant: {value: limited}\n    retry_on_failure: {initial_interval: 100ms, max_interval: 1s}"),
		Env:    map[string]string{"OTLP_HTTP": addr, "LOKI": loki.URL},
	})
	now := time.Now()
	const n = 4000 // of 1 kB
	for i := range 4 {
		ld := plog.NewLogs()
		for j := range n / 4 {
			record(ld, "limited", fmt.Sprintf("%04d %s", i*n/4+j, strings.Repeat("x", 1000)), now.Add(time.Duration(i*n/4+j)))
		}
		sendLogs(t, addr, nil, ld)
	}
	// Only the numbers, because Loki limits its responses too.
	got := linesOf(entriesOf(t, loki, "limited", `{service_name="limited"} | regexp "^(?P<n>[0-9]+)" | line_format "{{.n}}"`, n))
	slices.Sort(got) // n is a label of the result, so each entry is a separate stream
	for i, number := range got {
		require.Equal(t, fmt.Sprintf("%04d", i), number)
	}
	require.Positive(t, metricValue(t, invar, "otelcol_exporter_loki_delayed_requests", `reason="rate_limited"`))
	require.Zero(t, metricValue(t, invar, "otelcol_exporter_loki_refused_log_records", ""))
	require.NoError(t, invar.Stop())
}

// TestLokiEndpoints runs two exporters. One cannot reach its endpoint, and the other must
// not wait for it.
func TestLokiEndpoints(t *testing.T) {
	t.Parallel()
	sink := &lokisink.Sink{Ledger: true}
	server := httptest.NewServer(sink)
	defer server.Close()
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{Config: `
receivers:
  otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}"}}}
exporters:
  loki/dead: {endpoint: "http://${env:DEAD}", sending_queue: {queue_size: 3, batch: {flush_timeout: 50ms}}}
  loki/alive: {endpoint: "${env:ALIVE}", sending_queue: {batch: {flush_timeout: 50ms}}}
service: {pipelines: {logs/dead: {receivers: [otlp], exporters: [loki/dead]}, logs: {receivers: [otlp], exporters: [loki/alive]}}}
`, Env: map[string]string{"OTLP_HTTP": addr, "DEAD": harness.FreeAddr(t), "ALIVE": server.URL}})
	const n = 50
	for i := range n {
		ld := plog.NewLogs()
		record(ld, "s", lokisink.Mark("w", i), time.Now())
		body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
		require.NoError(t, err)
		// The queue of the failing exporter is soon full, and the client gets an error.
		resp, err := http.Post("http://"+addr+"/v1/logs", "application/x-protobuf", bytes.NewReader(body)) //nolint:noctx // it answers at once
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	missing, _ := sink.Wait("w", n, 10*time.Second).Sum(n)
	require.Zero(t, missing)
	require.NoError(t, invar.Stop())
}

// metricValue returns the value of the collector's own metric with the attribute, or 0 if
// there is none.
func metricValue(t *testing.T, invar *harness.Process, name, attribute string) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, invar.MetricsURL, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name) && strings.Contains(line, attribute) {
			var value float64
			_, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &value)
			require.NoError(t, err)
			return value
		}
	}
	return 0
}
