package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/lokisink"
)

// tailToLoki tails plain lines, with offsets and queue on disk.
const tailToLoki = `
receivers:
  file_log:
    include: ["${env:LOGS}/*.log*"]
    start_at: beginning
    poll_interval: 100ms
    storage: file_storage
    retry_on_failure: {enabled: true, max_elapsed_time: 0s}
    resource: {service.name: tailed}
exporters:
  loki:
    endpoint: ${env:LOKI}
    tenant: {value: faults}
    retry_on_failure: {initial_interval: 100ms, max_interval: 2s}
    sending_queue: {storage: file_storage, sizer: bytes, queue_size: 2000000000, batch: {flush_timeout: 200ms}}
extensions: {file_storage: {directory: "${env:STATE_DIR}"}}
service:
  extensions: [file_storage]
  pipelines: {logs: {receivers: [file_log], exporters: [loki]}}
`

// logWriter writes numbered lines to a file at a constant rate until it is stopped. It
// rotates the file by renaming it or, if truncate is set, by copying and truncating it.
type logWriter struct {
	path     string
	rate     int // lines a second
	perFile  int
	truncate bool
	written  atomic.Int64
	stop     chan struct{}
	done     chan error
}

func (a *logWriter) start() {
	a.stop, a.done = make(chan struct{}), make(chan error, 1)
	go func() { a.done <- a.run() }()
}

// end stops the writer and returns how many lines it wrote.
func (a *logWriter) end(t *testing.T) int {
	t.Helper()
	close(a.stop)
	require.NoError(t, <-a.done)
	return int(a.written.Load())
}

func (a *logWriter) name() string { return filepath.Base(a.path) }

func (a *logWriter) run() error {
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	const pace = 20 * time.Millisecond
	tick := time.NewTicker(pace)
	defer tick.Stop()
	inFile, rotated := 0, 0
	for {
		select {
		case <-a.stop:
			return f.Close()
		case <-tick.C:
		}
		for range a.rate * int(pace) / int(time.Second) {
			n := int(a.written.Load())
			if _, err := fmt.Fprintf(f, "%sa line of an application that says what it does\n", lokisink.Mark(a.name(), n)); err != nil {
				return err
			}
			a.written.Add(1)
			inFile++
		}
		if inFile < a.perFile {
			continue
		}
		inFile = 0
		rotated++
		old := fmt.Sprintf("%s.%d", a.path, rotated)
		if a.truncate {
			text, err := os.ReadFile(a.path)
			if err != nil {
				return err
			}
			if err := os.WriteFile(old, text, 0o600); err != nil {
				return err
			}
			if err := f.Truncate(0); err != nil {
				return err
			}
			continue
		}
		if err := f.Close(); err != nil {
			return err
		}
		if err := os.Rename(a.path, old); err != nil {
			return err
		}
		if f, err = os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return err
		}
	}
}

func logWriters(dir string) []*logWriter {
	return []*logWriter{
		{path: filepath.Join(dir, "renamed.log"), rate: 1000, perFile: 3000},
		{path: filepath.Join(dir, "truncated.log"), rate: 1000, perFile: 3000, truncate: true},
	}
}

// TestLogsOutage stops a real Loki under load while files are rotated, and starts it
// again. Loki must then have every line exactly once. With `make soak` the outage takes
// ten minutes.
func TestLogsOutage(t *testing.T) {
	outage := 20 * time.Second
	if os.Getenv("INVAR_SOAK") != "" {
		outage = 10 * time.Minute
	} else {
		t.Parallel()
	}
	loki := harness.Loki(t, nil)
	logs := t.TempDir()
	invar := harness.Invar(t, harness.Options{
		Config: tailToLoki, Args: []string{"--feature-gates=stanza.synchronousLogEmitter"},
		Env: map[string]string{"LOKI": loki.URL, "LOGS": logs, "STATE_DIR": t.TempDir()},
	})
	apps := logWriters(logs)
	for _, a := range apps {
		a.start()
	}
	time.Sleep(2 * time.Second)
	require.NoError(t, loki.Stop())
	time.Sleep(outage)
	loki.Restart(t)
	back := time.Now()
	time.Sleep(2 * time.Second)
	for _, a := range apps {
		n := a.end(t)
		count := fmt.Sprintf(`sum(count_over_time({service_name="tailed"} |= "mark=%s/" [2h]))`, a.name())
		harness.Eventually(t, 3*time.Minute, func() error {
			got, err := loki.Number("faults", count)
			if err == nil && int(got) != n {
				err = fmt.Errorf("%s: Loki has %d of %d lines", a.name(), int(got), n)
			}
			return err
		})
		t.Logf("%s: %d lines, all there %s after Loki was back", a.name(), n, time.Since(back).Round(time.Second))
	}
	require.NoError(t, invar.Stop())
}

// TestLogsKilled kills the collector repeatedly under load, while files are rotated and
// the endpoint fails from time to time. No line may be lost. Only lines read shortly
// before a kill may arrive twice.
func TestLogsKilled(t *testing.T) {
	kills := 5
	if os.Getenv("INVAR_SOAK") != "" {
		kills = 20
	} else {
		t.Parallel()
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	sink := &lokisink.Sink{Ledger: true}
	server := httptest.NewServer(sink)
	defer server.Close()
	logs := t.TempDir()
	options := harness.Options{
		Config: tailToLoki, Args: []string{"--feature-gates=stanza.synchronousLogEmitter"},
		Env: map[string]string{"LOKI": server.URL, "LOGS": logs, "STATE_DIR": t.TempDir()},
	}
	apps := logWriters(logs)
	for _, a := range apps {
		a.start()
	}
	for range kills {
		invar := harness.Invar(t, options)
		time.Sleep(time.Duration(500+rng.IntN(2000)) * time.Millisecond)
		if rng.IntN(2) == 0 {
			sink.Fail(http.StatusServiceUnavailable)
			time.Sleep(time.Duration(rng.IntN(1000)) * time.Millisecond)
		}
		invar.Signal(syscall.SIGKILL)
		require.Error(t, invar.Wait(10*time.Second))
		sink.Fail(0)
	}
	invar := harness.Invar(t, options)
	time.Sleep(time.Second)
	for _, a := range apps {
		n := a.end(t)
		got := sink.Wait(a.name(), n, time.Minute)
		missing, repeated := got.Sum(n)
		t.Logf("%s: %d lines, %d missing, %d repeated, %d first came after later ones", a.name(), n, missing, repeated, got.Disordered)
		require.Zero(t, missing, "lost lines of %s", a.name())
		// Lines that may arrive twice are those of the batch being sent, and those read
		// since the offsets were saved, at most all lines written since the start.
		require.LessOrEqual(t, repeated, kills*3*a.rate)
	}
	require.NoError(t, invar.Stop())
}
