package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// place is the environment of one configuration of the corpus: its folders, and variables
// with a free address for every server it may have.
type place struct {
	dir string
	env map[string]string
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{dir: t.TempDir(), env: map[string]string{"IN_DIR": t.TempDir(), "OUT_DIR": t.TempDir()}}
	for _, name := range []string{
		"OTLP_GRPC", "OTLP_HTTP", "SYSLOG", "TCP_LOG", "UDP_LOG", "STATSD", "ZIPKIN", "FLUENT", "INFLUX",
		"HEALTH", "PPROF", "ZPAGES", "PROM_EXPORT",
	} {
		p.env[name] = harness.FreeAddr(t)
	}
	for _, path := range []string{p.in("app.log"), p.in(criLog)} {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o600))
	}
	p.env["TARGET"] = serveTarget(t)
	return p
}

func (p place) in(name string) string { return filepath.Join(p.env["IN_DIR"], name) }

// criLog is the path of a container's log below /var/log, as a kubelet chooses it.
const criLog = "pods/default_web-0_0a1b2c3d-0000-1111-2222-333344445555/app/0.log"

// lines is how many log lines a feeder sends.
const lines = 20

// feeders send data like the clients of a receiver. Every payload contains "invar-e2e".
var feeders = map[string]func(*testing.T, place){
	"none":   func(*testing.T, place) {},
	"scrape": func(*testing.T, place) {}, // the target is always served
	"nginx":  func(*testing.T, place) {},
	"otlp_grpc": func(t *testing.T, p place) {
		app := newSDK(t, "grpc", p.env["OTLP_GRPC"], "invar-e2e")
		app.feed(t)
	},
	"otlp_http": func(t *testing.T, p place) {
		app := newSDK(t, "http", p.env["OTLP_HTTP"], "invar-e2e")
		app.feed(t)
	},
	"file": func(t *testing.T, p place) {
		appendLines(t, p.in("app.log"), "2026-01-02T03:04:05Z INFO invar-e2e line %d user=42\n")
	},
	"cri": func(t *testing.T, p place) {
		appendLines(t, p.in(criLog), "2026-01-02T03:04:05.678901234Z stdout F invar-e2e line %d\n")
	},
	"otlp_json_file": func(t *testing.T, p place) {
		const logs = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"invar-e2e"}}]},` +
			`"scopeLogs":[{"logRecords":[{"timeUnixNano":"1767323045000000000","severityNumber":9,"body":{"stringValue":"invar-e2e line 0"}}]}]}]}` + "\n"
		require.NoError(t, os.WriteFile(p.in("otlp.json"), []byte(logs), 0o600))
	},
	"syslog_tcp": func(t *testing.T, p place) {
		sendLines(t, "tcp", p.env["SYSLOG"], "<165>1 2026-01-02T03:04:05.003Z web-0 app 8710 ID47 - invar-e2e line %d\n")
	},
	"syslog_udp": func(t *testing.T, p place) {
		sendLines(t, "udp", p.env["SYSLOG"], "<34>Jan  2 03:04:05 web-0 app[8710]: invar-e2e line %d")
	},
	"tcp_log": func(t *testing.T, p place) { sendLines(t, "tcp", p.env["TCP_LOG"], "invar-e2e line %d\n") },
	"udp_log": func(t *testing.T, p place) { sendLines(t, "udp", p.env["UDP_LOG"], "invar-e2e line %d") },
	"statsd": func(t *testing.T, p place) {
		sendLines(t, "udp", p.env["STATSD"], "invar.e2e.hits:1|c|#route:invar-e2e,n:%d\ninvar.e2e.latency:12|ms")
	},
	"zipkin": func(t *testing.T, p place) {
		post(t, "http://"+p.env["ZIPKIN"]+"/api/v2/spans", "application/json",
			`[{"traceId":"5af7183fb1d4cf5f","id":"6b221d5bc9e6496c","kind":"SERVER","name":"invar-e2e-span",`+
				`"timestamp":1767323045000000,"duration":1000,"localEndpoint":{"serviceName":"invar-e2e"},"tags":{"http.method":"GET"}}]`)
	},
	"influx": func(t *testing.T, p place) {
		post(t, "http://"+p.env["INFLUX"]+"/write?db=e2e", "text/plain", "invar_e2e,route=home value=1\n")
	},
	"fluent": func(t *testing.T, p place) {
		conn := dial(t, "tcp", p.env["FLUENT"])
		for i := range lines {
			_, err := conn.Write(fluentMessage("app.e2e", fmt.Sprintf("invar-e2e line %d", i)))
			require.NoError(t, err)
		}
	},
}

// feed sends one workload, signal by signal, because the configuration under test may not
// have pipelines for all signals.
func (s *sdk) feed(t *testing.T) {
	t.Helper()
	s.work(t)
	ctx := t.Context()
	accepted := 0
	for _, flush := range []error{s.traces.ForceFlush(ctx), s.metrics.ForceFlush(ctx), s.logs.ForceFlush(ctx)} {
		if flush == nil {
			accepted++
		}
	}
	require.Positive(t, accepted, "no signal was accepted")
}

func appendLines(t *testing.T, path, format string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	for i := range lines {
		_, err := fmt.Fprintf(f, format, i)
		require.NoError(t, err)
	}
}

func dial(t *testing.T, network, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, addr, 5*time.Second)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	return conn
}

func sendLines(t *testing.T, network, addr, format string) {
	t.Helper()
	conn := dial(t, network, addr)
	for i := range lines {
		_, err := fmt.Fprintf(conn, format, i)
		require.NoError(t, err)
	}
}

func post(t *testing.T, url, contentType, body string) {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(url, contentType, strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	require.Less(t, resp.StatusCode, 300, "%s answers %s", url, answer)
}

// fluentMessage encodes the forward protocol's message mode in MessagePack:
// [tag, time, {"message": text}].
func fluentMessage(tag, text string) []byte {
	var b bytes.Buffer
	str := func(s string) {
		b.Write([]byte{0xd9, byte(len(s))}) // str 8
		b.WriteString(s)
	}
	b.WriteByte(0x93) // array of 3
	str(tag)
	b.WriteByte(0xce) // uint 32
	_ = binary.Write(&b, binary.BigEndian, uint32(1767323045))
	b.WriteByte(0x81) // map of 1
	str("message")
	str(text)
	return b.Bytes()
}

// serveTarget serves a scrape target until the test ends.
func serveTarget(t *testing.T) string {
	t.Helper()
	var requests atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, "# TYPE invar_e2e_requests_total counter\ninvar_e2e_requests_total{route=\"home\"} %d\n"+
			"# TYPE invar_e2e_temperature gauge\ninvar_e2e_temperature -3.5\n", requests.Add(7))
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		n := requests.Add(1)
		_, _ = fmt.Fprintf(w, "Active connections: 2 \nserver accepts handled requests\n %d %d %d \nReading: 0 Writing: 1 Waiting: 1 \n", n, n, n)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
