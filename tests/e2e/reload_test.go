package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/rwsink"
)

// reloadable is a running invar whose configuration file the test changes.
type reloadable struct {
	*harness.Process
	t    *testing.T
	path string
	url  string // of the reload extension; its address is in RELOAD
}

func startReloadable(t *testing.T, config string, env map[string]string) *reloadable {
	t.Helper()
	r := &reloadable{t: t, path: filepath.Join(t.TempDir(), "config.yaml")}
	r.write(config)
	r.start(env)
	return r
}

func (r *reloadable) start(env map[string]string) {
	r.t.Helper()
	addr := harness.FreeAddr(r.t)
	env["RELOAD"] = addr
	r.url = "http://" + addr + "/-/reload"
	r.Process = harness.Invar(r.t, harness.Options{Args: []string{"--config", r.path}, Env: env})
}

func (r *reloadable) write(config string) {
	r.t.Helper()
	require.NoError(r.t, os.WriteFile(r.path, []byte(config), 0o600))
}

// post requests a reload and returns the response.
func (r *reloadable) post() (status int, body string) {
	r.t.Helper()
	resp, err := http.Post(r.url, "", nil)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, string(text)
}

// apply changes the configuration and waits until it is in effect.
func (r *reloadable) apply(config string) {
	r.t.Helper()
	r.write(config)
	status, body := r.post()
	require.Equal(r.t, 200, status, body)
	require.Equal(r.t, "applied\n", body)
}

type reloadState struct {
	Generation   int
	RunningSince *time.Time `json:"running_since"`
	ConfigHash   string     `json:"config_hash"`
	ConfigFiles  []string   `json:"config_files"`
	LastReload   *struct {
		Trigger, Result, Error string
	} `json:"last_reload"`
}

// state returns the response to GET, or an error if there is none.
func (r *reloadable) state() (s reloadState, err error) {
	resp, err := http.Get(r.url)
	if err != nil {
		return s, err
	}
	defer resp.Body.Close()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// awaitReload waits for a number of generations and a result of the last reload.
func (r *reloadable) awaitReload(generation int, result string) reloadState {
	r.t.Helper()
	var s reloadState
	harness.Eventually(r.t, 30*time.Second, func() error {
		var err error
		if s, err = r.state(); err != nil {
			return err
		}
		if s.Generation != generation || s.LastReload == nil || s.LastReload.Result != result {
			return fmt.Errorf("the state is %+v", s)
		}
		return nil
	})
	return s
}

// metric returns the value of one of invar's own metrics.
func (r *reloadable) metric(sample string) string {
	r.t.Helper()
	resp, err := http.Get(r.MetricsURL)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if strings.Contains(sample, "{") && strings.HasPrefix(name, strings.TrimSuffix(sample, "}")) {
			return value
		}
		if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == sample {
			return value
		}
	}
	return ""
}

// logSender sends numbered log records over gRPC. It repeats each until it is accepted.
type logSender struct {
	accepted, refused int
}

func (s *logSender) run(ctx context.Context, t *testing.T, addr string) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	client := plogotlp.NewGRPCClient(conn)
	for ctx.Err() == nil {
		ld := plog.NewLogs()
		ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty().Body().SetInt(int64(s.accepted))
		// The last record must be accepted as well.
		if _, err := client.Export(context.Background(), plogotlp.NewExportRequestFromLogs(ld)); err != nil {
			s.refused++
			conn.ResetConnectBackoff()
			time.Sleep(time.Millisecond)
			continue
		}
		s.accepted++
	}
}

// logEnd is an OTLP/HTTP endpoint that stores the numbers of log records.
func logEnd(t *testing.T) (url string, numbers func() map[int64]int) {
	t.Helper()
	var mu sync.Mutex
	got := map[int64]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := plogotlp.NewExportRequest()
		if err == nil {
			err = request.UnmarshalProto(body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, rl := range request.Logs().ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, record := range sl.LogRecords().All() {
					got[record.Body().Int()]++
				}
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, func() map[int64]int {
		mu.Lock()
		defer mu.Unlock()
		clone := make(map[int64]int, len(got))
		for k, v := range got {
			clone[k] = v
		}
		return clone
	}
}

// TestReloadLosesNothing reloads under load. Everything that was accepted from a client
// must arrive: logs in a batch and a queue in memory, and samples in a WAL.
func TestReloadLosesNothing(t *testing.T) {
	t.Parallel()
	const reloads = 20
	sink, sinkURL := rwsink.Start(t, rwsink.Options{Keep: rwsink.KeepLedger, Tail: 1 << 20})
	logsURL, numbers := logEnd(t)
	intakeHTTP, intakeGRPC := harness.FreeAddr(t), harness.FreeAddr(t)
	config := func(n int) string {
		return fmt.Sprintf(`
receivers: {otlp: {protocols: {http: {endpoint: "${env:HTTP}"}, grpc: {endpoint: "${env:GRPC}"}}}}
processors:
  batch: {timeout: 200ms}
  resource: {attributes: [{key: reload, value: "%d", action: upsert}]}
exporters:
  prometheus_wal: {endpoint: "${env:SINK}", wal: {directory: "${env:DIR}"}, queue: {batch_send_deadline: 100ms}}
  otlp_http: {endpoint: "${env:LOGS}", compression: none, sending_queue: {queue_size: 100000}}
extensions: {reload: {http: {endpoint: "${env:RELOAD}"}}}
service:
  extensions: [reload]
  pipelines:
    metrics: {receivers: [otlp], exporters: [prometheus_wal]}
    logs: {receivers: [otlp], processors: [resource, batch], exporters: [otlp_http]}
`, n)
	}
	invar := startReloadable(t, config(0), map[string]string{
		"HTTP": intakeHTTP, "GRPC": intakeGRPC, "SINK": sinkURL, "LOGS": logsURL, "DIR": filepath.Join(t.TempDir(), "wal"),
	})
	p := &pusher{url: "http://" + intakeHTTP + "/v1/metrics", base: time.Now().UnixMilli()}
	logs := &logSender{}
	ctx, stop := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		for ctx.Err() == nil {
			p.push(context.Background())
			time.Sleep(2 * time.Millisecond)
		}
	})
	sending.Go(func() { logs.run(ctx, t, intakeGRPC) })
	for i := range reloads {
		invar.apply(config(i + 1))
	}
	stop()
	sending.Wait()
	s := invar.awaitReload(reloads+1, "applied")
	require.NoError(t, invar.Stop())
	t.Logf("%d reloads: %d of %d pushes and %d log records accepted, %d log records refused",
		s.Generation-1, len(p.accepted), p.n, logs.accepted, logs.refused)
	require.Greater(t, logs.accepted, 1000)
	require.Greater(t, len(p.accepted), 1000)

	got := numbers()
	for n := range logs.accepted {
		if got[int64(n)] == 0 {
			t.Errorf("log record %d of %d was accepted and is lost", n, logs.accepted)
			break
		}
	}
	for series, samples := range sink.Series() {
		if !strings.HasPrefix(series, "pushed{") {
			continue
		}
		seen := make(map[int64]bool, len(samples))
		for _, sample := range samples {
			seen[sample.T] = true
		}
		for _, n := range p.accepted {
			if !seen[p.base+n] {
				t.Errorf("%s lost %d", series, n)
				break
			}
		}
	}
	require.Zero(t, sink.Order().Late)
}

const reloadLogs = `
receivers: {otlp: {protocols: {http: {endpoint: "${env:INTAKE}"}}}}
exporters: {debug: }
extensions: {reload: {http: {endpoint: "${env:RELOAD}"}}}
service:
  extensions: [reload]
  pipelines: {logs: {receivers: [otlp], exporters: [debug]}}
`

// TestReloadSignals sends SIGHUP during a reload, and SIGTERM during another.
func TestReloadSignals(t *testing.T) {
	t.Parallel()
	invar := startReloadable(t, reloadLogs, map[string]string{"INTAKE": harness.FreeAddr(t)})
	invar.Signal(syscall.SIGHUP)
	invar.awaitGeneration(2) // it settles, which takes seconds
	for range 5 {
		invar.Signal(syscall.SIGHUP)
	}
	harness.Eventually(t, 30*time.Second, func() error {
		if n := strings.Count(invar.Stderr(), "The new configuration runs"); n != 2 {
			return fmt.Errorf("%d reloads have ended", n)
		}
		return nil
	})
	invar.awaitReload(3, "applied")

	// Shutdown does not wait for the reload that an HTTP client waits for.
	answer := make(chan error, 1)
	go func() {
		resp, err := http.Post(invar.url, "", nil)
		if err == nil {
			_ = resp.Body.Close()
		}
		answer <- err
	}()
	invar.awaitGeneration(4)
	invar.Signal(syscall.SIGTERM)
	require.NoError(t, invar.Wait(4*time.Second))
	<-answer
}

// awaitGeneration waits until a number of generations have been started.
func (r *reloadable) awaitGeneration(n int) {
	r.t.Helper()
	harness.Eventually(r.t, 20*time.Second, func() error {
		s, err := r.state()
		if err == nil && s.Generation != n {
			err = fmt.Errorf("the state is %+v", s)
		}
		return err
	})
}

// TestReloadConfigMap replaces a file as Kubernetes does: the file is a link through a
// link to a directory, and the link to the directory is replaced.
func TestReloadConfigMap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	version := 0
	publish := func(config string) {
		t.Helper()
		version++
		data := fmt.Sprintf("..2026_%d", version)
		require.NoError(t, os.Mkdir(filepath.Join(dir, data), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, data, "config.yaml"), []byte(config), 0o600))
		require.NoError(t, os.Symlink(data, filepath.Join(dir, "..data_tmp")))
		require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	}
	watching := strings.Replace(reloadLogs, "extensions: {reload: {", "extensions: {reload: {watch: {interval: 100ms}, ", 1)
	publish(watching)
	invar := &reloadable{t: t, path: filepath.Join(dir, "config.yaml")}
	require.NoError(t, os.Symlink(filepath.Join("..data", "config.yaml"), invar.path))
	invar.start(map[string]string{"INTAKE": harness.FreeAddr(t)})
	s, err := invar.state()
	require.NoError(t, err)
	require.Equal(t, []string{invar.path}, s.ConfigFiles)

	changed := strings.Replace(watching, "debug: ", "debug: {verbosity: detailed}", 1)
	publish(changed)
	require.Equal(t, "file", invar.awaitReload(2, "applied").LastReload.Trigger)
	publish(strings.Replace(watching, "debug: ", "dbug: ", 1))
	require.Contains(t, invar.awaitReload(2, "rejected").LastReload.Error, `unknown type: "dbug"`)
	publish("# only a comment\n" + changed)
	invar.awaitReload(2, "unchanged")
	publish(watching)
	invar.awaitReload(3, "applied")
	require.Equal(t, 1, strings.Count(invar.Stderr(), "The new configuration is rejected"), "it is tried once")
}
