package remotepipelines

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"

	"github.com/invar-otel/invar/internal/dirlock"
)

func TestConflicting(t *testing.T) {
	f := func(err error, want bool, port string) {
		t.Helper()
		require.Equal(t, want, conflicting(err), err)
		if err != nil {
			require.Equal(t, port, takenPort(err), err)
		}
	}
	f(nil, false, "")

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	_, err = net.Listen("tcp", taken.Addr().String())
	f(err, true, port)
	f(fmt.Errorf("start: %w", err), true, port)
	f(errors.New("failed to bind to address: "+err.Error()), true, port)
	f(&net.OpError{Op: "listen", Addr: &net.UDPAddr{Port: 514}, Err: syscall.EADDRINUSE}, true, "514")

	file := filepath.Join(t.TempDir(), "storage")
	db, err := bbolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	_, err = bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Millisecond})
	f(err, true, "")
	f(errors.New("failed to get storage client: "+err.Error()), true, "")
	require.NoError(t, db.Close())

	dir := t.TempDir()
	lock, err := dirlock.Lock(dir, "exporters::prometheus_wal")
	require.NoError(t, err)
	_, err = dirlock.Lock(dir, "exporters::prometheus_wal")
	f(err, true, "")
	require.NoError(t, lock.Close())

	f(fmt.Errorf("cannot start pipelines: %w", profilesAlready{errors.New("another one does")}), true, "")
	f(errors.New("lock: "+syscall.EWOULDBLOCK.Error()), true, "")

	f(errors.New("no such file or directory"), false, "")
	f(errors.New("timeout after 5s"), false, "")
	f(&net.OpError{Op: "dial", Addr: &net.TCPAddr{Port: 80}, Err: syscall.ECONNREFUSED}, false, "")
	f(errors.New("the start takes longer than 1m0s"), false, "")
}

// profilesAlready is an error like that of ebpf_profile; see its TestTaken.
type profilesAlready struct{ error }

func (profilesAlready) Taken() bool { return true }

func TestNearNames(t *testing.T) {
	known := []string{"otlp", "otlp_http", "otlp_grpc", "prometheus_scrape", "prometheus", "file_log", "kafka", "tcp_log", "udp_log"}
	f := func(name string, want ...string) {
		t.Helper()
		require.Equal(t, append([]string{}, want...), nearNames(name, known))
	}
	f("otlphttp", "otlp_http")
	f("otpl", "otlp")
	f("prometheus_scrap", "prometheus_scrape", "prometheus")
	f("filelog", "file_log")
	f("tcplog", "tcp_log", "udp_log")
	f("elasticsearch")
	f("")
}

func TestKeyIn(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		require.Equal(t, want, keyIn(text))
	}
	f("exporters::otlp_http/a: at least one endpoint must be specified", "exporters::otlp_http/a")
	f("exporters::otlp_http::sending_queue::queue_size: must be positive", "exporters::otlp_http::sending_queue::queue_size")
	f("service::pipelines::logs: references receiver \"x\" which is not configured", "service::pipelines::logs")
	f("service::extensions: references extension", "service::extensions")
	f("connectors::c: ambiguous ID: Found both", "connectors::c")
	f("text first\nreceivers::r::endpoint: is missing\nreceivers::s: too", "receivers::r::endpoint")
	f("receivers::r", "receivers::r")
	f(`cannot start pipelines: failed to start "otlp" receiver: listen`, "receivers::otlp")
	f(`failed to build pipelines: failed to create "transform/x" processor, in pipeline "logs": bad`, "processors::transform/x")
	f(`failed to build extensions: failed to create extension "auth/a": bad`, "extensions::auth/a")
	f(`failed to build extensions: factory for "auth" produced a nil extension`, "extensions::auth")
	f(`failed to build pipelines: cycle detected: connector "forward" (logs to logs) -> connector "forward"`, "connectors::forward")
	f("at least one receiver", "")
	f("", "")
}

func TestDecodedKey(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		require.Equal(t, want, decodedKey(text, &unitConfig{}))
	}
	f("'' has invalid keys: foo, bar", "foo")
	f("'remotepipelines.unitConfig' has invalid keys: foo", "foo")
	f(decoding+"'tls' "+"expected a map, got 'string'", "tls")
	f(decoding+"'sending_queue.queue_size' expected type 'int64', got unconvertible type 'string'", "sending_queue::queue_size")
	f(decoding+"'headers[a.b]' expected type 'string', got unconvertible type 'map'", "headers::a.b")
	f(decoding+"'retry.interval' time: invalid duration \"x\"", "retry::interval")
	f("something else", "")
}

func TestFailureText(t *testing.T) {
	f := &Failure{Pipelines: []string{"p"}, Key: "exporters::a", Stage: StageParse, Err: errors.New(strings.Repeat("ä", maxFailureText))}
	require.Less(t, len(f.Error()), maxFailureText+100)
	require.True(t, strings.HasPrefix(f.Error(), "pipelines::p: parse: exporters::a: ää"))
	require.True(t, strings.HasSuffix(f.Error(), "ä…"))
}
