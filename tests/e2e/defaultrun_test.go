package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// TestDefaultRun does what `make run` does and what a user would do: read the summary and
// the files, send data, press Ctrl-C.
func TestDefaultRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	grpc, http, metrics, health := harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t), harness.FreeAddr(t)
	p := harness.Run(t, harness.Options{Dir: dir, Args: []string{"--config", "builtin:default"}, Env: map[string]string{
		"INVAR_OTLP_GRPC_ENDPOINT": grpc,
		"INVAR_OTLP_HTTP_ENDPOINT": http,
		"INVAR_METRICS_PORT":       harness.Port(t, metrics),
		"INVAR_HEALTH_ENDPOINT":    health,
	}})
	harness.Eventually(t, 20*time.Second, func() error { return healthy(health) })

	require.Contains(t, p.Stdout(), "started; a summary of the data follows every 10s")
	require.Contains(t, p.Stdout(), "send OTLP to "+grpc+" (gRPC) or "+http+" (HTTP); OTLP-JSON files are in ./data")
	for _, addr := range listening(t, p.PID()) {
		require.True(t, addr.IsLoopback(), "listens on %s", addr)
	}

	app := newSDK(t, "grpc", grpc, "checkout")
	app.work(t)
	app.flush(t)

	data := func(name string) string { return filepath.Join(dir, "data", name) }
	harness.Eventually(t, 45*time.Second, func() error {
		got := readMetrics(t, data("metrics.jsonl"))
		for _, want := range []string{"system.memory.usage", "system.cpu.time", "system.network.io", "otelcol_process_uptime", "invar.e2e.requests"} {
			if _, ok := got[want]; !ok {
				return fmt.Errorf("no %s among %d metrics", want, len(got))
			}
		}
		if got["invar.e2e.requests"].Sum().DataPoints().At(0).IntValue() != 42 {
			return errors.New("invar.e2e.requests is not 42")
		}
		return nil
	})
	checkSpans(t, readSpans(t, data("traces.jsonl")))
	checkLogs(t, readLogs(t, data("logs.jsonl")))

	harness.Eventually(t, 20*time.Second, func() error {
		for _, want := range []string{"from checkout", "memory used ", "cpu idle "} {
			if !strings.Contains(p.Stdout(), want) {
				return fmt.Errorf("no %q in the summary:\n%s", want, p.Stdout())
			}
		}
		return nil
	})

	p.Signal(os.Interrupt)
	require.NoError(t, p.Wait(2*time.Second), "Ctrl-C stops it cleanly within 2 s")
	require.Contains(t, p.Stdout(), "stopped after ")
}

func healthy(addr string) error {
	client := http.Client{Timeout: time.Second}
	resp, err := client.Get("http://" + addr)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health check answers %s", resp.Status)
	}
	return nil
}

// listening returns the local addresses of a process's listening TCP sockets. It looks up
// the socket inodes of its open files in the kernel's socket tables.
func listening(t *testing.T, pid int) []net.IP {
	t.Helper()
	inodes := map[string]bool{}
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	require.NoError(t, err)
	for _, f := range files {
		if link, err := os.Readlink(f); err == nil && strings.HasPrefix(link, "socket:[") {
			inodes[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")] = true
		}
	}
	var out []net.IP
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		require.NoError(t, err)
		scanner := bufio.NewScanner(f)
		for scanner.Scan() {
			const stateListen = "0A"
			fields := strings.Fields(scanner.Text())
			if len(fields) > 9 && fields[3] == stateListen && inodes[fields[9]] {
				out = append(out, parseProcAddr(t, fields[1]))
			}
		}
		require.NoError(t, scanner.Err())
		require.NoError(t, f.Close())
	}
	require.NotEmpty(t, out)
	return out
}

// parseProcAddr parses an address in /proc/net/tcp: hex words in host byte order.
func parseProcAddr(t *testing.T, s string) net.IP {
	t.Helper()
	hex, _, _ := strings.Cut(s, ":")
	var ip net.IP
	for ; len(hex) >= 8; hex = hex[8:] {
		word, err := strconv.ParseUint(hex[:8], 16, 32)
		require.NoError(t, err)
		ip = append(ip, byte(word), byte(word>>8), byte(word>>16), byte(word>>24))
	}
	return ip
}

// TestAddressInUse checks what a user sees if another collector already runs.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	addr := l.Addr().String()
	p := harness.Run(t, harness.Options{Args: []string{"--config", "builtin:default"}, Env: map[string]string{
		"INVAR_OTLP_GRPC_ENDPOINT": addr,
		"INVAR_OTLP_HTTP_ENDPOINT": harness.FreeAddr(t),
		"INVAR_METRICS_PORT":       harness.Port(t, harness.FreeAddr(t)),
		"INVAR_HEALTH_ENDPOINT":    harness.FreeAddr(t),
	}})
	var exit *exec.ExitError
	require.ErrorAs(t, p.Wait(20*time.Second), &exit)
	require.Equal(t, 1, exit.ExitCode())
	require.Contains(t, p.Stderr(), addr+": bind: address already in use")
	require.Contains(t, p.Stderr(), `"otlp" receiver`)
	require.ErrorIs(t, syscall.Kill(p.PID(), 0), syscall.ESRCH)
}
