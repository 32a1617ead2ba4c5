package lokiexporter

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadata"
)

// accepting is a transport that accepts every request.
type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Request: r}, err
}

// podLogs returns lines of several pods, as file_log and its container parser make
// them, and the size of the lines in bytes.
func podLogs(pods, lines, attributes int) (plog.Logs, int) {
	ld := plog.NewLogs()
	bytes := 0
	for pod := range pods {
		rl := ld.ResourceLogs().AppendEmpty()
		r := rl.Resource().Attributes()
		r.PutStr("k8s.namespace.name", "shop")
		r.PutStr("k8s.pod.name", fmt.Sprintf("checkout-%d", pod))
		r.PutStr("k8s.container.name", "server")
		r.PutStr("k8s.container.restart_count", "0")
		r.PutStr("k8s.pod.uid", "8c9c3ab4-4b2d-4c0e-9a55-9d5b1c5f9e10")
		records := rl.ScopeLogs().AppendEmpty().LogRecords()
		for i := range lines {
			lr := records.AppendEmpty()
			lr.SetTimestamp(pcommon.Timestamp(1_700_000_000_000_000_000 + i*1_000_000))
			lr.SetObservedTimestamp(lr.Timestamp() + 1_000_000)
			line := fmt.Sprintf(`level=info ts=2026-11-21T10:00:00.%09dZ caller=handler.go:%d msg="request served" method=GET path=/api/v1/orders/%d status=200 duration=%dms bytes=%d user=%08x`,
				i, 100+i%50, i*7919%100_000, i%900, i*31%65536, i*2654435761%(1<<32))
			lr.Body().SetStr(line)
			bytes += len(line)
			for a := range attributes {
				lr.Attributes().PutStr(fmt.Sprintf("attribute.%d", a), fmt.Sprintf("value-%d", (i+a)%100))
			}
		}
	}
	return ld, bytes
}

// BenchmarkPush measures the exporter alone, from a batch in pdata to the bodies of
// requests. Use -cpu 1 for the figure of one core.
func BenchmarkPush(b *testing.B) {
	for _, attributes := range []int{1, 8} {
		b.Run(fmt.Sprintf("attributes=%d", attributes), func(b *testing.B) {
			cfg := createDefaultConfig().(*Config)
			cfg.Endpoint = "http://loki:3100"
			e, err := newExporter(exportertest.NewNopSettings(metadata.Type), cfg)
			require.NoError(b, err)
			require.NoError(b, e.start(b.Context(), componenttest.NewNopHost()))
			e.pusher.Client().Transport = accepting{}
			ld, bytes := podLogs(8, 1500, attributes)
			b.SetBytes(int64(bytes))
			b.ReportAllocs()
			started := time.Now()
			n := 0
			for b.Loop() {
				require.NoError(b, e.push(b.Context(), ld))
				n += ld.LogRecordCount()
			}
			b.ReportMetric(float64(time.Since(started).Nanoseconds())/float64(n), "ns/entry")
		})
	}
}

// BenchmarkHints measures records as the loki receiver makes them, with a hint that
// names their labels.
func BenchmarkHints(b *testing.B) {
	for _, labels := range []int{5, 50, 500} {
		b.Run(fmt.Sprintf("labels=%d", labels), func(b *testing.B) {
			cfg := createDefaultConfig().(*Config)
			cfg.Endpoint = "http://loki:3100"
			e, err := newExporter(exportertest.NewNopSettings(metadata.Type), cfg)
			require.NoError(b, err)
			require.NoError(b, e.start(b.Context(), componenttest.NewNopHost()))
			e.pusher.Client().Transport = accepting{}
			ld, bytes := podLogs(1, 500, labels)
			for _, lr := range ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
				var names []byte
				for name := range lr.Attributes().All() {
					names = append(append(names, name...), ',')
				}
				lr.Attributes().PutStr("loki.attribute.labels", string(names[:len(names)-1]))
			}
			b.SetBytes(int64(bytes))
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, e.push(b.Context(), ld))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*500*labels), "ns/label")
		})
	}
}
