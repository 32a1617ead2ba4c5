package remotepipelines

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	servicetelemetry "go.opentelemetry.io/collector/service/telemetry"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// Log entries have the name of the pipeline, and the fields of the component instead of
// the extension's.
func TestLogs(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	l := newTestHost(t)
	extension := zap.New(injected{Core: core, id: "remote_config"})
	r := newRunner(t, l, func(s *Settings) { s.Telemetry.Logger = extension })
	require.NoError(t, r.Apply(t.Context(), set{"orders": onePipeline("p", "", "")}, nil))
	require.Error(t, r.Apply(t.Context(), set{"orders": onePipeline("p", "", "fail: start")}, nil))
	require.NotZero(t, logs.Len())
	failed := logs.FilterMessage("Failed to start component").All()
	require.Len(t, failed, 1)
	for _, line := range logs.All() {
		fields := line.ContextMap()
		require.Equal(t, "orders", fields[PipelineKey], line.Message)
		require.NotEqual(t, "remote_config", fields["otelcol.component.id"], line.Message)
	}
}

// injected is a core like the one that the service gives to an extension.
type injected struct {
	zapcore.Core
	id string
}

func (c injected) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return c.Core.With([]zapcore.Field{zap.String("otelcol.component.id", c.id)}).Check(e, checked)
}

func (c injected) DropInjectedAttributes(...string) zapcore.Core { return c.Core }

// injectedProviders are providers like those that the service gives to an extension.
type injectedMeters struct{ metric.MeterProvider }

func (p injectedMeters) DropInjectedAttributes(...string) metric.MeterProvider {
	return p.MeterProvider
}

type injectedTracers struct{ trace.TracerProvider }

func (p injectedTracers) DropInjectedAttributes(...string) trace.TracerProvider {
	return p.TracerProvider
}

func TestOwnTelemetry(t *testing.T) {
	set := componenttest.NewNopTelemetrySettings()
	own := ownTelemetry(component.TelemetrySettings{
		Logger: set.Logger, Resource: set.Resource,
		MeterProvider: injectedMeters{set.MeterProvider}, TracerProvider: injectedTracers{set.TracerProvider},
	})
	require.Equal(t, set.MeterProvider, own.MeterProvider)
	require.Equal(t, set.TracerProvider, own.TracerProvider)
}

func TestTraces(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	host := componenttest.NewNopTelemetrySettings()
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	host.TracerProvider = sdk
	host.Resource.Attributes().PutStr("service.name", "invar")
	sent := newTally()
	factory := telemetryFor(host, "orders", sent, metersFor(host, "orders", sent))
	provider, err := factory.CreateTracerProvider(t.Context(), servicetelemetry.TracerSettings{}, nil)
	require.NoError(t, err)
	_, span := provider.Tracer("scope", trace.WithInstrumentationAttributes(attribute.String("id", "a"))).Start(t.Context(), "s")
	span.End()
	require.NoError(t, provider.Shutdown(t.Context()))
	of := recorder.Ended()[0].InstrumentationScope().Attributes
	require.Equal(t, "id=a,remote_config.pipeline=orders", of.Encoded(attribute.DefaultEncoder()))
	require.Same(t, sdk, provider.(interface{ Unwrap() trace.TracerProvider }).Unwrap())
	resource, err := factory.CreateResource(t.Context(), servicetelemetry.Settings{}, nil)
	require.NoError(t, err)
	require.Equal(t, host.Resource.Attributes().AsRaw(), resource.Attributes().AsRaw())
}

func patient(string) (time.Duration, bool) { return time.Hour, true }

func TestTally(t *testing.T) {
	by := func(id string) attribute.Set {
		return attribute.NewSet(attribute.String("exporter", id), attribute.String("data_type", "traces"), attribute.String("error.type", "Unauthenticated"))
	}
	f := func(maxRatio float64, exporter, text string, fill func(add func(counter string, n int64, id string))) {
		t.Helper()
		tally := newTally()
		fill(func(counter string, n int64, id string) {
			t.Helper()
			count := tally.counter(counter)
			require.NotNil(t, count, counter)
			count(n, by(id))
		})
		v := tally.judge(maxRatio, patient)
		if text == "" {
			require.NoError(t, v.err)
		} else {
			require.ErrorContains(t, v.err, text)
			require.Equal(t, exporter, v.lane.exporter)
		}
	}
	f(0.5, "", "", func(func(string, int64, string)) {})
	f(0.5, "", "", func(add func(string, int64, string)) {
		add("otelcol_exporter_sent_spans", 60, "a")
		add("otelcol_exporter_send_failed_spans", 40, "a")
	})
	f(0.4, "a", "40 of 100 items", func(add func(string, int64, string)) {
		add("otelcol_exporter_sent_metric_points", 60, "a")
		add("otelcol_exporter_send_failed_metric_points", 40, "a")
		add("otelcol_exporter_sent_metric_points", 60, "b")
	})
	f(0, "a", "1 of 100 items", func(add func(string, int64, string)) {
		add("otelcol_exporter_sent_log_records", 99, "a")
		add("otelcol_exporter_enqueue_failed_log_records", 1, "a")
	})
	f(0, "", "", func(add func(string, int64, string)) { add("otelcol_exporter_sent_log_records", 99, "a") })
	f(0.5, "loki", "70 of 100 items", func(add func(string, int64, string)) {
		add("otelcol_exporter_sent_log_records", 100, "loki")
		add("otelcol_exporter_loki_refused_log_records", 70, "loki")
	})
	f(0.5, "b", "9 of 10 items", func(add func(string, int64, string)) {
		for id, failed := range map[string]int64{"a": 6, "b": 9, "c": 9} {
			add("otelcol_exporter_send_failed_profile_samples", failed, id)
			add("otelcol_exporter_sent_profile_samples", 10-failed, id)
		}
	})
	f(1, "", "", func(add func(string, int64, string)) { add("otelcol_exporter_send_failed_spans", 1, "a") })
	f(0.5, "a", "9 of 9 items were not delivered; the last error: status Unauthenticated", func(add func(string, int64, string)) {
		add("otelcol_exporter_send_failed_spans", 9, "a")
		add("otelcol_exporter_sent_log_records", 100, "a") // another signal has a destination of its own
	})
	f(0.5, "", "", func(add func(string, int64, string)) {
		add("otelcol_exporter_in_flight_requests", 1, "a")
		add("otelcol_exporter_in_flight_requests", -1, "a")
		add("otelcol_exporter_sent_spans", 1, "a")
	})

	require.Nil(t, newTally().counter("otelcol_receiver_accepted_spans"))
	require.Nil(t, newTally().counter("otelcol_exporter_queue_size"))
	tally := newTally()
	tally.counter("otelcol_exporter_sent_spans")(1, attribute.NewSet())
	require.Empty(t, tally.exporters, "an exporter that does not say who it is")
}

// A request in flight may take as long as its exporter waits for an answer.
func TestInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 10 * time.Second
		tally := newTally()
		of := attribute.NewSet(attribute.String("exporter", "a"), attribute.String("data_type", "logs"))
		fly, sent := tally.counter("otelcol_exporter_in_flight_requests"), tally.counter("otelcol_exporter_sent_log_records")
		f := func(wait time.Duration, err string, isFailing bool) {
			t.Helper()
			v := tally.judge(0.5, func(string) (time.Duration, bool) { return timeout, true })
			require.Equal(t, wait, v.wait)
			require.Equal(t, isFailing, tally.isFailing("a", timeout))
			if err == "" {
				require.NoError(t, v.err)
				return
			}
			require.EqualError(t, v.err, err)
			require.Equal(t, "a", v.lane.exporter)
		}
		f(0, "", false)
		time.Sleep(time.Second)
		fly(1, of)
		f(timeout, "", false)
		time.Sleep(4 * time.Second)
		fly(1, of)
		f(6*time.Second, "", false)
		time.Sleep(7 * time.Second)
		f(0, "nothing was delivered; the first request has been without success for 11s", true)
		sent(1, of)
		fly(-1, of)
		f(0, "", false)
		time.Sleep(11 * time.Second)
		f(0, "", true)
		require.Empty(t, tally.judge(0.5, func(string) (time.Duration, bool) { return 0, false }))
	})
}

// greedy is a core that modifies the slice of fields it is given, like the core of the
// collector's service.
type greedy struct{ zapcore.Core }

func (g greedy) With(fields []zapcore.Field) zapcore.Core {
	with := greedy{g.Core.With(slices.Clone(fields))}
	_ = slices.DeleteFunc(fields, func(f zapcore.Field) bool { return f.Type == zapcore.InlineMarshalerType })
	return with
}

// Attempts are watched even if the host logs only errors.
func TestWatchedLog(t *testing.T) {
	tally := newTally()
	core, logs := observer.New(zapcore.ErrorLevel)
	logger := zap.New(tally.watch(greedy{core}))
	scope := func(kind, id string) *zap.Logger {
		return logger.With(zap.Inline(zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
			e.AddString("otelcol.component.kind", kind)
			e.AddString("otelcol.component.id", id)
			e.AddString("otelcol.signal", "logs")
			return nil
		})))
	}
	scope("exporter", "otlp_http").With(zap.Int("n", 1)).Info(retrying, zap.Error(errors.New("no route to host")), zap.String("interval", "1s"))
	require.Equal(t, "exporters::otlp_http", tally.lastMade())
	scope("receiver", "otlp").Info(retrying, zap.Error(errors.New("not an exporter's")))
	logger.Info(retrying)
	require.Len(t, tally.exporters, 1)
	require.Zero(t, logs.Len())
	v := tally.judge(0.9, patient)
	require.Equal(t, lane{"otlp_http", "logs"}, v.lane)
	require.EqualError(t, v.err, "nothing was delivered, 1 attempts failed; the last error: no route to the host")
	logger.Error("an error")
	require.Equal(t, 1, logs.Len())
	require.False(t, logger.Core().Enabled(zapcore.DebugLevel))
	require.NoError(t, logger.Sync())
}
