package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/bbolt"
	"go.opentelemetry.io/collector/confmap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// keyOf applies a set of one pipeline that has to fail, and returns what the text
// of upstream says of the key, without the help of typed errors or the watcher.
func keyOf(t *testing.T, body string) string {
	t.Helper()
	err := newRunner(t, newTestHost(t), nil).Apply(t.Context(), set{"p": []byte(body)}, nil)
	var f *Failure
	require.ErrorAs(t, err, &f)
	return keyIn(f.Err.Error())
}

// The collector's service and its validation name the component in these places.
func TestKeysInUpstreamErrors(t *testing.T) {
	f := func(want, receivers, processors, exporters, connectors, pipelines string) {
		t.Helper()
		require.Equal(t, want, keyOf(t, configWith(receivers, processors, exporters, connectors, pipelines)))
	}
	f("receivers::unit/x", "unit/x: {fail: start}", "", "", "", "logs/b: {receivers: [unit/x], exporters: [unit/out]}")
	f("processors::unit/x", "", "unit/x: {fail: start}", "", "", "logs/b: {receivers: [unit/in], processors: [unit/x], exporters: [unit/out]}")
	f("exporters::unit/x", "", "", "unit/x: {fail: start}", "", "logs/b: {receivers: [unit/in], exporters: [unit/x]}")
	f("receivers::unit/x", "unit/x: {fail: create}", "", "", "", "logs/b: {receivers: [unit/x], exporters: [unit/out]}")
	f("processors::unit/x", "", "unit/x: {fail: create}", "", "", "logs/b: {receivers: [unit/in], processors: [unit/x], exporters: [unit/out]}")
	f("exporters::unit/x", "", "", "unit/x: {fail: create}", "", "logs/b: {receivers: [unit/in], exporters: [unit/x]}")
	f("connectors::unit/x", "", "", "", "unit/x: ", "logs/b: {receivers: [unit/in, unit/x], exporters: [unit/x]}")
	f("connectors::unit/x", "", "", "", "unit/x: ", "logs/b: {receivers: [unit/in], exporters: [unit/x]}")
	f("receivers::unit/x", "unit/x: {fail: validate}", "", "", "", "logs/b: {receivers: [unit/x], exporters: [unit/out]}")
	f("service::pipelines::logs/b", "", "", "", "", "logs/b: {receivers: [unit/none], exporters: [unit/out]}")

	extension := "extensions: {unit/x: {fail: create}}\n" + strings.Replace(configWith("", "", "", "", ""), "service: {", "service: {extensions: [unit/x], ", 1)
	require.Equal(t, "extensions::unit/x", keyOf(t, extension))
}

// What a component says of others is not what the service says of it.
func TestKeysInComponentErrors(t *testing.T) {
	f := func(text string) {
		t.Helper()
		require.Empty(t, keyIn(text))
	}
	f(`dial: the peer says: failed to start "logs" receiver: no`)
	f(`failed to start extensions: failed to create extension "logs"`)
	f(`oauth2: connector "start" is away`)
	f(`panic: failed to build pipelines: failed to create "traces/0" exporter`)
}

// Pipelines, of a set or of the service, may be named like words of errors. The
// error blames the one that failed.
func TestNamesLikeWords(t *testing.T) {
	l := newTestHost(t)
	r := newRunner(t, l, nil)
	names := []string{"logs", "start", "exporters", "failed", "no", "address", "in"}
	want := make(set)
	for _, name := range names {
		want[name] = onePipeline(name, "", "")
	}
	want["other"] = onePipeline("other", "fail: start", "")
	err := r.Apply(t.Context(), want, nil)
	requireFailure(t, err, "other", StageStart, "receivers::unit/other")
	require.Equal(t, []string{"other"}, remoteconf.FailedPipelines(err.Error()))
	require.Equal(t, []string{"other"}, remoteconf.FailedPipelines(Reason(err)))

	for _, name := range names {
		broken := set{"other": onePipeline("other", "", "")}
		for _, other := range names {
			broken[other] = onePipeline(other, "", "")
		}
		broken[name] = onePipeline(name, "fail: create", "")
		err := r.Apply(t.Context(), broken, nil)
		requireFailure(t, err, name, StageDryRun, "receivers::unit/"+name)
		require.Equal(t, []string{name}, remoteconf.FailedPipelines(Reason(err)))
	}

	// The same for the service's pipelines: traces/0 has nothing to do with it.
	body := strings.Replace(string(onePipeline("x", "", "fail: create")), "logs: {", "logs/traces/0: {receivers: [unit/x], exporters: [unit/x]}, logs/start: {", 1)
	requireFailure(t, r.Apply(t.Context(), set{"q": []byte(body)}, nil), "q", StageDryRun, "exporters::unit/x")
}

// Confmap names the value that it cannot decode.
func TestKeysInDecodingErrors(t *testing.T) {
	f := func(raw map[string]any, want string) {
		t.Helper()
		config := any(&unitConfig{})
		err := confmap.NewFromStringMap(raw).Unmarshal(config)
		require.Error(t, err)
		require.Equal(t, want, decodedKey(err.Error(), config), err)
	}
	f(map[string]any{"logs": 1}, "logs")
	f(map[string]any{"count": "many"}, "count")
	f(map[string]any{"tls": map[string]any{"start": 1}}, "tls::start")
	f(map[string]any{"tls": "x"}, "tls")
	f(map[string]any{"next": map[string]any{"a.b": map[string]any{"count": []any{}}}}, "next::a.b::count")
	f(map[string]any{"takes": "soon"}, "takes")
}

// The texts alone say that something is taken: an address, a lock on a file.
func TestTakenInUpstreamErrors(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	err = (&http.Server{Addr: listener.Addr().String(), ReadHeaderTimeout: time.Second}).ListenAndServe()
	require.True(t, saysTaken(err.Error()), err)
	require.Equal(t, port, boundPort(err.Error()))
	require.Equal(t, "listen on "+listener.Addr().String()+": address already in use", textClass(err.Error()))
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer packets.Close()
	_, err = net.ListenPacket("udp", packets.LocalAddr().String())
	require.True(t, saysTaken(err.Error()), err)

	file := filepath.Join(t.TempDir(), "storage")
	db, err := bbolt.Open(file, 0o600, nil)
	require.NoError(t, err)
	defer db.Close()
	_, err = bbolt.Open(file, 0o600, &bbolt.Options{Timeout: time.Millisecond})
	require.True(t, saysTaken(fmt.Sprintf("open the storage: %v", err)), err)
}

// The texts alone have the class that the server is told.
func TestClassesOfUpstreamErrors(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		require.Error(t, err)
		require.Equal(t, want, textClass(err.Error()), err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	_, err = net.Dial("tcp", address)
	f(err, "connection refused")
	_, err = os.Open(filepath.Join(t.TempDir(), "none"))
	f(err, "no such file or directory")
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	f(ctx.Err(), "no answer in time")
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		f(status.Error(code, "x"), "status "+code.String())
	}
	f(errors.New("x"), unknownClass)
}

func TestUsesPort(t *testing.T) {
	f := func(yaml string, want bool) {
		t.Helper()
		rec := &recipe{yaml: []byte(yaml)}
		require.Equal(t, want, rec.usesPort("80"), yaml)
	}
	f("a: {endpoint: 127.0.0.1:80}", true)
	f("a: {endpoint: '[::1]:80'}", true)
	f("a: {url: http://host:80/path}", true)
	f("a: [x, 80]", true)
	f("a: {port: '80'}", true)
	f("a: {endpoint: 127.0.0.1:8080, other: 127.0.0.1:80}", true)
	f("a: {endpoint: 127.0.0.1:8080}", false)
	f("a: {endpoint: 127.0.0.1:180}", false)
	f("a: {timeout: 1m80s, size: 8000, name: x80}", false)
	f("80: {x: y}", false)
}
