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

// otlpToLoki is a gateway: OTLP in, Loki out. OTLP_HTTP and LOKI are filled in
// by the environment; more goes into the exporter.
func otlpToLoki(more string) string {
	return `
receivers:
  otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}", include_metadata: true, max_request_body_size: 100000000}}}
exporters:
  loki:
    endpoint: ${env:LOKI}
    sending_queue: {batch: {flush_timeout: 100ms, min_size: 1000000, sizer: bytes}}
` + more + `
service: {pipelines: {logs: {receivers: [otlp], exporters: [loki]}}}
`
}

// sendLogs sends OTLP over HTTP.
func sendLogs(t *testing.T, addr string, header map[string]string, ld plog.Logs) {
	t.Helper()
	body, err := plogotlp.NewExportRequestFromLogs(ld).MarshalProto()
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/logs", bytes.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/x-protobuf")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	words, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", words)
}

// record adds a record of a service.
func record(ld plog.Logs, service, line string, at time.Time) plog.LogRecord {
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", service)
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr(line)
	lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
	return lr
}

// entriesOf waits until a query gives n entries.
func entriesOf(t *testing.T, loki *harness.LokiServer, tenant, logql string, n int) []harness.LokiEntry {
	t.Helper()
	var entries []harness.LokiEntry
	harness.Eventually(t, time.Minute, func() (err error) {
		if entries, err = loki.Query(tenant, logql); err != nil {
			return err
		}
		if len(entries) != n {
			return fmt.Errorf("%s gives %d entries instead of %d", logql, len(entries), n)
		}
		return nil
	})
	return entries
}

func linesOf(entries []harness.LokiEntry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Line)
	}
	return all
}

// TestLokiExporter sends OTLP logs to a real Loki and queries them back.
func TestLokiExporter(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, ", unordered_writes: false") // an entry out of order is refused
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{
		Config: otlpToLoki(`
    tenant: {attribute: team, header: X-Scope-OrgID, value: main}
    labels: {resource: {k8s.namespace.name: namespace}, attributes: {log.iostream: stream}, static: {cluster: eu}}
`),
		Env: map[string]string{"OTLP_HTTP": addr, "LOKI": loki.URL},
	})
	now := time.Now().Truncate(time.Microsecond)

	t.Run("labels, metadata and level", func(t *testing.T) {
		ld := plog.NewLogs()
		lr := record(ld, "checkout", "paid\tin full", now)
		resource := ld.ResourceLogs().At(0).Resource().Attributes()
		resource.PutStr("k8s.namespace.name", "shop")
		resource.PutStr("k8s.pod.name", "checkout-7f")
		lr.SetSeverityNumber(plog.SeverityNumberError2)
		lr.SetSeverityText("Error")
		lr.SetTraceID([16]byte{0xab, 1})
		lr.SetSpanID([8]byte{0xcd})
		lr.Attributes().PutStr("log.iostream", "stderr")
		lr.Attributes().PutInt("http.status", 500)
		lr.Attributes().PutEmptyMap("user").PutStr("id", "u-1")
		sendLogs(t, addr, nil, ld)
		e := entriesOf(t, loki, "main", `{service_name="checkout", stream="stderr"} | trace_id="ab010000000000000000000000000000"`, 1)[0]
		require.Equal(t, map[string]string{"service_name": "checkout", "namespace": "shop", "stream": "stderr", "cluster": "eu"}, e.Labels)
		require.Equal(t, map[string]string{
			"k8s_pod_name": "checkout-7f", "http_status": "500", "user_id": "u-1", "severity_number": "18", "severity_text": "Error",
			"detected_level": "error", "trace_id": "ab010000000000000000000000000000", "span_id": "cd00000000000000",
		}, e.Metadata)
		require.Equal(t, "paid\tin full", e.Line)
		require.True(t, now.Equal(e.Timestamp))
	})

	t.Run("order", func(t *testing.T) {
		var want []string
		for i := range 20 {
			ld := plog.NewLogs()
			for j := range 100 {
				line := fmt.Sprintf("%04d", i*100+j)
				record(ld, "ordered", line, now.Add(time.Duration(i*100+j)))
				want = append(want, line)
			}
			sendLogs(t, addr, nil, ld)
		}
		require.Equal(t, want, linesOf(entriesOf(t, loki, "main", `{service_name="ordered"}`, len(want))))
	})

	t.Run("tenants", func(t *testing.T) {
		ld := plog.NewLogs()
		record(ld, "tenancy", "of main", now)
		record(ld, "tenancy", "of red", now)
		ld.ResourceLogs().At(1).Resource().Attributes().PutStr("team", "red")
		sendLogs(t, addr, nil, ld)
		blue := plog.NewLogs()
		record(blue, "tenancy", "of blue", now)
		sendLogs(t, addr, map[string]string{"X-Scope-OrgID": "blue"}, blue)
		for _, tenant := range []string{"main", "red", "blue"} {
			require.Equal(t, []string{"of " + tenant}, linesOf(entriesOf(t, loki, tenant, `{service_name="tenancy"}`, 1)))
		}
	})
	require.NoError(t, invar.Stop())
}

// TestLokiStrangeLogs sends what real Loki may refuse or alter. What it refuses
// must be the faulty entry alone, counted by Loki's reason.
func TestLokiStrangeLogs(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, `, max_line_size: 256KB, max_streams_per_user: 50, max_label_names_per_series: 15, max_structured_metadata_size: 1KB`)
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
	// mixed sends a faulty record among good ones, and waits for the good ones.
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
		// Loki's ingester answers with the error of a request's last stream only,
		// so the one that it takes goes first.
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

// metricValue is that of the collector's own metric with the attribute, 0 if
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

// TestLokiEndpoints has two exporters of which one reaches nobody: the other does
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
		// The dead one's queue is soon full, which the client is told.
		resp, err := http.Post("http://"+addr+"/v1/logs", "application/x-protobuf", bytes.NewReader(body)) //nolint:noctx // it answers at once
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	missing, _ := sink.Wait("w", n, 10*time.Second).Sum(n)
	require.Zero(t, missing)
	require.NoError(t, invar.Stop())
}

// TestContribLokiConfig runs a configuration written for the exporter that
// contrib removed.
func TestContribLokiConfig(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, "")
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{Config: `
receivers:
  otlp: {protocols: {http: {endpoint: "${env:OTLP_HTTP}"}}}
processors:
  batch: {timeout: 100ms}
  resource:
    attributes: [{action: insert, key: loki.resource.labels, value: k8s.pod.name}]
  attributes:
    actions: [{action: insert, key: loki.attribute.labels, value: event.domain}]
exporters:
  loki:
    endpoint: ${env:LOKI}/loki/api/v1/push
    headers: {"X-Scope-OrgID": old}
    default_labels_enabled: {exporter: false, job: true}
    retry_on_failure: {enabled: true, initial_interval: 1s, max_interval: 10s, max_elapsed_time: 60s}
    sending_queue: {enabled: true, num_consumers: 10, queue_size: 1000}
service: {pipelines: {logs: {receivers: [otlp], processors: [resource, attributes, batch], exporters: [loki]}}}
`, Env: map[string]string{"OTLP_HTTP": addr, "LOKI": loki.URL}})
	ld := plog.NewLogs()
	lr := record(ld, "cart", "hello", time.Now())
	resource := ld.ResourceLogs().At(0).Resource().Attributes()
	resource.PutStr("service.namespace", "shop")
	resource.PutStr("k8s.pod.name", "cart-1")
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	lr.Attributes().PutStr("event.domain", "web")
	lr.Attributes().PutStr("user", "u1")
	sendLogs(t, addr, nil, ld)
	e := entriesOf(t, loki, "old", `{job="shop/cart", level="INFO", event_domain="web", k8s_pod_name="cart-1"}`, 1)[0]
	require.NotContains(t, e.Labels, "exporter")
	require.JSONEq(t, `{"body": "hello", "attributes": {"user": "u1"}, "resources": {"service.name": "cart", "service.namespace": "shop"}}`, e.Line)
	require.NoError(t, invar.Stop())
}
