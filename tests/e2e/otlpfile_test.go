package e2e

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// The file exporter writes one OTLP-JSON message per line. These functions read all
// complete lines of a file that may still be written to.

func completeLines(t *testing.T, path string) [][]byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	lines := bytes.Split(content, []byte("\n"))
	return lines[:len(lines)-1] // what follows the last newline is not complete
}

func readLogs(t *testing.T, path string) []plog.LogRecord {
	t.Helper()
	var out []plog.LogRecord
	for _, line := range completeLines(t, path) {
		ld, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
		require.NoError(t, err)
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, r := range sl.LogRecords().All() {
					out = append(out, r)
				}
			}
		}
	}
	return out
}

func readSpans(t *testing.T, path string) []ptrace.Span {
	t.Helper()
	var out []ptrace.Span
	for _, line := range completeLines(t, path) {
		td, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
		require.NoError(t, err)
		for _, rs := range td.ResourceSpans().All() {
			for _, ss := range rs.ScopeSpans().All() {
				for _, s := range ss.Spans().All() {
					out = append(out, s)
				}
			}
		}
	}
	return out
}

// readMetrics returns the last version of each metric in a file.
func readMetrics(t *testing.T, path string) map[string]pmetric.Metric {
	t.Helper()
	out := map[string]pmetric.Metric{}
	for _, line := range completeLines(t, path) {
		md, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
		require.NoError(t, err)
		for _, rm := range md.ResourceMetrics().All() {
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					out[m.Name()] = m
				}
			}
		}
	}
	return out
}
