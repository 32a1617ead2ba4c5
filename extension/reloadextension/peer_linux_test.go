package reloadextension

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/reloading"
)

// Pipelines of the process cannot reload it; other processes of the host can.
func TestOwnConnectionsAreRefused(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	f := func(text string, client *http.Client, url func(net.Addr) string, curl ...string) {
		t.Helper()
		var reloads atomic.Int64
		p := &process{reload: func(context.Context, reloading.Trigger) (reloading.Result, error) {
			reloads.Add(1)
			return reloading.Applied, nil
		}}
		cfg := createDefaultConfig().(*Config)
		require.NoError(t, configtest.Parse(t, text, cfg))
		made, err := NewFactory().Create(t.Context(), settings(), cfg)
		require.NoError(t, err)
		e := made.(*reloadExtension)
		require.NoError(t, e.Start(reloading.ContextWith(t.Context(), p), componenttest.NewNopHost()))
		defer func() {
			client.CloseIdleConnections()
			require.NoError(t, e.Shutdown(context.Background()))
			p.tasks.Wait()
		}()
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			req, err := http.NewRequestWithContext(t.Context(), method, url(e.listener.Addr()), nil)
			require.NoError(t, err)
			resp, err := client.Do(req)
			require.NoError(t, err)
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			require.NoError(t, err)
			require.Equal(t, http.StatusForbidden, resp.StatusCode)
			require.Contains(t, string(body), "the connection is this process's own")
		}
		require.Zero(t, reloads.Load())

		out, err := exec.Command("curl", append(curl, "-s", "-X", "POST", url(e.listener.Addr()))...).Output()
		if errors.Is(err, exec.ErrNotFound) {
			return
		}
		require.NoError(t, err)
		require.Equal(t, "applied", strings.TrimSpace(string(out)))
		require.EqualValues(t, 1, reloads.Load())
	}
	tcp := func(a net.Addr) string { return "http://" + a.String() + path }
	f("http: {endpoint: '127.0.0.1:0'}", &http.Client{Transport: &http.Transport{}}, tcp)
	f("http: {endpoint: '0.0.0.0:0'}\nallow_unauthenticated: true", &http.Client{Transport: &http.Transport{}}, func(a net.Addr) string {
		_, port, err := net.SplitHostPort(a.String())
		require.NoError(t, err)
		return "http://127.0.0.2:" + port + path
	})
	f("http: {endpoint: '"+socket+"', transport: unix}", &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) },
	}}, func(net.Addr) string { return "http://localhost" + path }, "--unix-socket", socket)
}

// A client that closes the connection early is not let through.
func TestClosedConnectionsAreRefused(t *testing.T) {
	reloads := make(chan struct{}, 100)
	p := &process{reload: func(context.Context, reloading.Trigger) (reloading.Result, error) {
		reloads <- struct{}{}
		return reloading.Applied, nil
	}}
	s := startFor(t, p, "", nil)
	for range 100 {
		conn, err := net.Dial("tcp", s.listener.Addr().String())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	require.NoError(t, s.Shutdown(context.Background()))
	p.tasks.Wait()
	require.Empty(t, reloads)
}
