package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// scrapeTarget records the longest time between two scrapes.
type scrapeTarget struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration
	n       int
}

func (s *scrapeTarget) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.last.IsZero() {
		s.last = now
	} else {
		s.longest, s.last = max(s.longest, now.Sub(s.last)), now
	}
	s.n++
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = fmt.Fprintln(w, "up_and_away 1")
}

func (s *scrapeTarget) scrapes() (n int, longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n, s.longest
}

const reloadBase = `
receivers:
  otlp: {protocols: {http: {endpoint: "${env:INTAKE}"}}}
  prometheus_scrape:
    config: {scrape_configs: [{job_name: a, scrape_interval: 1s, scrape_timeout: 1s, static_configs: [{targets: ["${env:TARGET}"]}]}]}
processors: {batch: }
exporters: {debug: }
connectors: {forward/c: }
extensions: {reload: {http: {endpoint: "${env:RELOAD}"}}}
service:
  extensions: [reload]
  pipelines:
    logs: {receivers: [otlp], exporters: [debug]}
    metrics: {receivers: [prometheus_scrape], processors: [batch], exporters: [debug]}
`

// TestReloadRefused reloads broken configurations. The port stays open, no
// scrape is missed, and the reason names the key.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	target := &scrapeTarget{}
	server := httptest.NewServer(target)
	defer server.Close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	intake := harness.FreeAddr(t)
	invar := startReloadable(t, reloadBase, map[string]string{"INTAKE": intake, "TARGET": strings.TrimPrefix(server.URL, "http://")})
	before, err := invar.state()
	require.NoError(t, err)

	// A client that connects continuously.
	ctx, stop := context.WithCancel(context.Background())
	var knocking sync.WaitGroup
	var closed error
	knocks := 0
	knocking.Go(func() {
		for ctx.Err() == nil {
			conn, err := net.Dial("tcp", intake)
			if err != nil {
				closed = err
				return
			}
			_ = conn.Close()
			knocks++
			time.Sleep(time.Millisecond)
		}
	})

	n := 0
	// f reloads a configuration and checks the reason of the failure.
	f := func(config, want string) {
		t.Helper()
		invar.write(config)
		status, body := invar.post()
		require.Equal(t, http.StatusBadRequest, status, body)
		require.Contains(t, body, want)
		n++
		s, err := invar.state()
		require.NoError(t, err)
		require.Equal(t, before.Generation, s.Generation)
		require.Equal(t, before.RunningSince, s.RunningSince)
		require.Equal(t, "rejected", s.LastReload.Result)
		require.Contains(t, s.LastReload.Error, want)
	}
	with := func(old, replacement string) string {
		t.Helper()
		require.Contains(t, reloadBase, old)
		return strings.Replace(reloadBase, old, replacement, 1)
	}
	for {
		f("receivers: [", "cannot be used as a Conf")
		f("", "empty configuration file")
		f(with("debug: }", "dbug: }"), `'exporters' unknown type: "dbug"`)
		f(with("batch: ", "batch: {timeout: soon}"), "'timeout'")
		f(with("batch: ", "batch: {size: 1}"), "has invalid keys: size")
		f(with("exporters: [debug]", "exporters: [otlp_http]"), `service::pipelines::logs: references exporter "otlp_http"`)
		f(with("[otlp]", "[otlp, forward/c]")+"    logs/b: {receivers: [forward/c], exporters: [debug, forward/c]}\n", "cycle detected")
		f(with(`"${env:INTAKE}"`, `"${env:INTAKE}", tls: {cert_file: /missing.pem, key_file: /missing.key}`), "receivers::otlp::protocols::http::tls: failed to load TLS config")
		f(with(`"${env:INTAKE}"`, `"${env:INTAKE}", auth: {authenticator: nobody}`), `authenticator: "nobody" is not in service::extensions`)
		f(with(`"${env:INTAKE}"`, `"`+taken.Addr().String()+`"`), "receivers::otlp::protocols::http: endpoint")
		f(with("debug: ", `debug: , otlp_http: {endpoint: "${env:NOT_SET}"}`), "exporters::otlp_http: at least one endpoint must be specified")
		f(with("batch: ", `batch: "${file:/does/not/exist}"`), "unable to read the file")
		f(with("scrape_interval: 1s", "scrape_interval: 1x"), `"prometheus_scrape"`)
		f(with("extensions: {reload: {http: {endpoint: \"${env:RELOAD}\"}}}", "extensions: {reload: {http: {endpoint: '0.0.0.0:1'}}}"), "neither loopback nor authenticated")
		require.NoError(t, os.Remove(invar.path))
		require.NoError(t, os.Mkdir(invar.path, 0o700)) // a directory cannot be read as a file, even by root
		status, body := invar.post()
		require.Equal(t, http.StatusBadRequest, status)
		require.Contains(t, body, "is a directory")
		n++
		require.NoError(t, os.Remove(invar.path))
		if scrapes, _ := target.scrapes(); scrapes >= 10 {
			break
		}
	}
	stop()
	knocking.Wait()
	require.NoError(t, closed)
	_, longest := target.scrapes()
	t.Logf("%d broken configurations, %d connections, at most %s between two scrapes", n, knocks, longest)
	require.Less(t, longest, 1900*time.Millisecond, "a scrape was missed")
	require.Equal(t, "0", invar.metric("otelcol_config_last_reload_successful"))
	require.Contains(t, invar.Stderr(), "The new configuration is rejected; nothing was changed")

	invar.apply(reloadBase)
}

// TestReloadRolledBack reloads a configuration that fails only when it starts, because of
// a port that no check finds.
func TestReloadRolledBack(t *testing.T) {
	t.Parallel()
	intake := harness.FreeAddr(t)
	invar := startReloadable(t, reloadLogs, map[string]string{"INTAKE": intake})
	before, err := invar.state()
	require.NoError(t, err)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	invar.write(strings.NewReplacer("receivers: {", "receivers: {tcp_log: {listen_address: '"+taken.Addr().String()+"'}, ",
		"[otlp]", "[otlp, tcp_log]").Replace(reloadLogs))
	status, body := invar.post()
	require.Equal(t, http.StatusInternalServerError, status, body)
	require.Contains(t, body, "rolled back: ")
	require.Contains(t, body, "address already in use")

	s := invar.awaitReload(2, "rolled_back")
	require.Equal(t, before.ConfigHash, s.ConfigHash)
	resp, err := http.Post("http://"+intake+"/v1/logs", "application/json", strings.NewReader(`{"resourceLogs": []}`))
	require.NoError(t, err, "the previous configuration receives again")
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
	require.Equal(t, "0", invar.metric("otelcol_config_last_reload_successful"))

	require.NoError(t, taken.Close())
	status, body = invar.post()
	require.Equal(t, http.StatusOK, status, body)
	require.Equal(t, "1", invar.metric("otelcol_config_last_reload_successful"))
}
