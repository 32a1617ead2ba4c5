package e2e

import (
	"fmt"
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

// writerEnv turns the test binary into a log writer: "<path> <lines> <lines per file>".
const writerEnv = "INVAR_E2E_WRITER"

// runWriter writes numbered lines and rotates its file as logrotate does: it renames the
// full file and creates a new one.
func runWriter(spec string) int {
	var path string
	var lines, perFile int
	if _, err := fmt.Sscan(spec, &path, &lines, &perFile); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		return 1
	}
	if err := writeLines(path, lines, perFile); err != nil {
		fmt.Fprintln(os.Stderr, "writer:", err)
		return 1
	}
	return 0
}

func writeLines(path string, lines, perFile int) error {
	var f *os.File
	for i := range lines {
		if i%perFile == 0 {
			if f != nil {
				if err := f.Close(); err != nil {
					return err
				}
				if err := os.Rename(path, fmt.Sprintf("%s.%d", path, i/perFile)); err != nil {
					return err
				}
			}
			var err error
			if f, err = os.Create(path); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(f, "2026-01-02T03:04:05Z INFO line=%d\n", i); err != nil {
			return err
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond) // an application is not a benchmark
		}
	}
	return f.Close()
}

// TestFileTailWithRotation tails a file that another process writes and rotates, and
// restarts the collector meanwhile. With offsets in file_storage every line must arrive
// exactly once.
// `make soak` runs it for longer.
func TestFileTailWithRotation(t *testing.T) {
	t.Parallel()
	lines, perFile := 20_000, 4_000
	if os.Getenv("INVAR_SOAK") != "" {
		lines, perFile = 300_000, 30_000
	}
	logDir, outDir, stateDir := t.TempDir(), t.TempDir(), t.TempDir()
	options := func(run int) harness.Options {
		return harness.Options{Env: map[string]string{
			"LOG_DIR": logDir, "STATE_DIR": stateDir, "OUT": filepath.Join(outDir, fmt.Sprintf("run%d.json", run)),
		}, Config: `
receivers:
  file_log:
    include: ["${env:LOG_DIR}/app.log*"]
    start_at: beginning
    poll_interval: 50ms
    storage: file_storage
    operators:
      - type: regex_parser
        regex: '^(?P<time>\S+) (?P<level>\w+) line=(?P<line>\d+)$'
        timestamp: {parse_from: attributes.time, layout: '%Y-%m-%dT%H:%M:%SZ'}
        severity: {parse_from: attributes.level}
extensions: {file_storage: {directory: "${env:STATE_DIR}"}}
exporters: {file: {path: "${env:OUT}", flush_interval: 50ms}}
service:
  extensions: [file_storage]
  pipelines: {logs: {receivers: [file_log], exporters: [file]}}
`}
	}
	seen := func(runs int) map[int]int {
		counts := map[int]int{}
		for run := range runs {
			for _, r := range readLogs(t, options(run).Env["OUT"]) {
				v, ok := r.Attributes().Get("line")
				require.True(t, ok, "line not parsed: %s", r.Body().AsString())
				n, err := strconv.Atoi(v.Str())
				require.NoError(t, err)
				require.Equal(t, "INFO", r.SeverityText())
				require.Equal(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), r.Timestamp().AsTime())
				counts[n]++
			}
		}
		return counts
	}

	first := harness.Invar(t, options(0))
	exe, err := os.Executable()
	require.NoError(t, err)
	writer := exec.Command(exe)
	writer.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %d", writerEnv, filepath.Join(logDir, "app.log"), lines, perFile))
	writer.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var writerErr strings.Builder
	writer.Stderr = &writerErr
	require.NoError(t, writer.Start())

	harness.Eventually(t, time.Minute, func() error {
		if n := len(seen(1)); n < lines/10 {
			return fmt.Errorf("%d of %d lines have arrived", n, lines)
		}
		return nil
	})
	first.Signal(syscall.SIGTERM)
	require.NoError(t, first.Wait(10*time.Second))
	second := harness.Invar(t, options(1))
	require.NoError(t, writer.Wait(), writerErr.String())

	harness.Eventually(t, 5*time.Minute, func() error {
		if n := len(seen(2)); n < lines {
			return fmt.Errorf("%d of %d lines have arrived", n, lines)
		}
		return nil
	})
	require.NoError(t, second.Stop())
	twice := 0
	for n, count := range seen(2) {
		require.Less(t, n, lines)
		if count > 1 {
			twice++
		}
	}
	require.Zero(t, twice, "after an orderly stop no line arrives twice")
}
