package lokiexporter

import (
	"fmt"
	"net/http"
	"testing"

	lokipush "github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/push/storagetest"
)

// TestKeptAtShutdown stops the exporter while Loki is away and starts another with
// the same storage. Nothing is lost, and nothing is logged as lost.
func TestKeptAtShutdown(t *testing.T) {
	s := newSink(t)
	attempts := make(chan struct{}, 100)
	away := true
	s.answer = func(*http.Request, []lokipush.Stream) (int, string) {
		attempts <- struct{}{}
		if away {
			return http.StatusServiceUnavailable, "away"
		}
		return 0, ""
	}
	d := storagetest.NewDisk()
	run := func() *observer.ObservedLogs {
		cfg, err := parse(t, "endpoint: "+s.server.URL+`
retry_on_failure: {initial_interval: 1h, max_interval: 1h}
sending_queue: {storage: disk, batch: {flush_timeout: 1ms, min_size: 1, sizer: bytes}}
`)
		require.NoError(t, err)
		set := exportertest.NewNopSettings(metadata.Type)
		observed, logs := observer.New(zapcore.DebugLevel)
		set.Logger = zap.New(observed)
		e, err := NewFactory().CreateLogs(t.Context(), set, cfg)
		require.NoError(t, err)
		require.NoError(t, e.Start(t.Context(), d))
		if away {
			require.NoError(t, e.ConsumeLogs(t.Context(), lines("a 1")))
		}
		<-attempts
		require.NoError(t, e.Shutdown(t.Context()))
		return logs
	}
	logs := run()
	require.Zero(t, logs.FilterLevelExact(zapcore.ErrorLevel).Len())
	require.Zero(t, logs.FilterMessageSnippet("Dropping").Len())
	require.Equal(t, 1, logs.FilterMessageSnippet("are kept in the sending queue's storage").Len())
	s.mu.Lock()
	away = false
	s.mu.Unlock()
	run()
	require.Equal(t, map[string][]string{fmt.Sprintf(service, "a"): {"1"}}, s.lines)
}
