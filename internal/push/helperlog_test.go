package push

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// logsOfShutdown runs exporterhelper until an attempt has failed with the error, stops
// it, and returns what it logged.
func logsOfShutdown(t *testing.T, level zapcore.Level, failure error) *observer.ObservedLogs {
	t.Helper()
	observed, logs := observer.New(level)
	set := exportertest.NewNopSettings(component.MustNewType("test"))
	set.Logger = persistentQueueLogger(zap.New(observed)).With(zap.String("otelcol.component.id", "test"))
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval, retry.MaxInterval, retry.MaxElapsedTime = time.Hour, time.Hour, 0
	failed := make(chan struct{}, 2)
	e, err := exporterhelper.NewLogs(t.Context(), set, struct{}{}, func(context.Context, plog.Logs) error {
		failed <- struct{}{}
		return failure
	}, exporterhelper.WithQueue(configoptional.Some(exporterhelper.NewDefaultQueueConfig())), exporterhelper.WithRetry(retry))
	require.NoError(t, err)
	run(t, e, failed)
	return logs
}

func run(t *testing.T, e exporter.Logs, failed <-chan struct{}) {
	t.Helper()
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	ld := plog.NewLogs()
	ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	require.NoError(t, e.ConsumeLogs(t.Context(), ld))
	<-failed
	require.NoError(t, e.Shutdown(t.Context()))
}

func TestKeptAtShutdown(t *testing.T) {
	logs := logsOfShutdown(t, zapcore.DebugLevel, errors.New("away"))
	require.Zero(t, logs.FilterMessageSnippet("Dropping").Len())
	entries := logs.FilterMessage(keptMessage).All()
	require.Len(t, entries, 1)
	require.Equal(t, zapcore.InfoLevel, entries[0].Level)
	require.Equal(t, map[string]any{
		"otelcol.component.id": "test", "error": "interrupted due to shutdown: away", "items": int64(1),
	}, entries[0].ContextMap())

	require.Zero(t, logsOfShutdown(t, zapcore.WarnLevel, errors.New("away")).Len(), "not a warning")
}

func TestDropped(t *testing.T) {
	entries := logsOfShutdown(t, zapcore.DebugLevel, consumererror.NewPermanent(errors.New("never"))).FilterMessageSnippet(upstreamDropping).All()
	require.Len(t, entries, 1)
	require.Equal(t, zapcore.ErrorLevel, entries[0].Level)
	require.EqualValues(t, 1, entries[0].ContextMap()["dropped_items"])
}
