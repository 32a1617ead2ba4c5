package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/invar-otel/invar/tests/harness"
)

// otlpToLoki returns the configuration of a gateway that receives OTLP and sends to Loki.
// It reads the environment variables OTLP_HTTP and LOKI. more is added to the exporter.
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
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
}

// record appends a log record of a service.
func record(ld plog.Logs, service, line string, at time.Time) plog.LogRecord {
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("service.name", service)
	lr := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	lr.Body().SetStr(line)
	lr.SetTimestamp(pcommon.NewTimestampFromTime(at))
	return lr
}

// entriesOf waits until a query returns n entries, and returns them.
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
	loki := harness.Loki(t, map[string]any{"unordered_writes": false}) // an entry out of order is refused
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

// TestContribLokiConfig runs a configuration for the Loki exporter that contrib has
// removed.
func TestContribLokiConfig(t *testing.T) {
	t.Parallel()
	loki := harness.Loki(t, nil)
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
