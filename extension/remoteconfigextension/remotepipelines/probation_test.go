package remotepipelines

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// trial applies a changed pipeline with a probation of half a minute, beside an unchanged
// one, in a synctest bubble.
func trial(t *testing.T, next []byte, check func(t *testing.T, err error, took time.Duration)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newTestHost(t)
		r := newRunner(t, l, nil)
		old := set{"a": onePipeline("a", "count: 1", ""), "p": onePipeline("p", "count: 1", "")}
		require.NoError(t, r.Apply(t.Context(), old, nil))
		a := l.unit("receiver:unit/a")
		r.set.Probation, r.set.MaxErrorRatio = 30*time.Second, 0.4
		want := set{"a": old["a"], "p": next}
		var began time.Time
		err := r.Apply(t.Context(), want, func() { began = time.Now() })
		check(t, err, time.Since(began))
		require.Same(t, a, l.unit("receiver:unit/a"))
		require.Equal(t, 4, l.count())
		if err == nil {
			require.True(t, r.Running().Equal(want))
		} else {
			require.True(t, r.Running().Equal(old))
			require.True(t, r.Health().Healthy)
		}
		require.NoError(t, r.Shutdown(context.Background()))
	})
}

func TestProbation(t *testing.T) {
	kept := func(receiver, exporter string, want time.Duration) {
		t.Helper()
		trial(t, onePipeline("p", receiver, exporter), func(t *testing.T, err error, took time.Duration) {
			require.NoError(t, err)
			require.Equal(t, want, took)
		})
	}
	rolledBack := func(receiver, exporter, key, text string, want time.Duration) {
		t.Helper()
		trial(t, onePipeline("p", receiver, exporter), func(t *testing.T, err error, took time.Duration) {
			requireFailure(t, err, "p", StageProbation, key)
			require.ErrorContains(t, err, text)
			require.Equal(t, want, took.Truncate(time.Second))
		})
	}
	kept("token: x, count: 1", "", 30*time.Second)
	kept("count: 0", "token: nothing to send", 30*time.Second)
	kept("report: recoverable, recover: 5s", "", 30*time.Second)

	rolledBack("report: permanent", "", "receivers::unit/p", "StatusPermanentError: reported by a unit", time.Second)
	rolledBack("", "report: fatal", "exporters::unit/p", "StatusFatalError: reported by a unit", time.Second)
	rolledBack("report: recoverable", "", "receivers::unit/p", "StatusRecoverableError: reported by a unit", 30*time.Second)

	// Losses of exporters.
	kept("count: 1", "lose: 3", 30*time.Second)
	rolledBack("count: 2", "lose: 2", "exporters::unit/p", "items were not delivered", 30*time.Second)
	rolledBack("count: 1", "fail: send", "exporters::unit/p", "items were not delivered", 30*time.Second)
	rolledBack("count: 1", "fail: send, retry: true", "exporters::unit/p",
		"nothing was delivered, ", 30*time.Second)
	rolledBack("count: 1", "fail: send, retry: true", "exporters::unit/p",
		"attempts failed; the last error: connection refused", 30*time.Second)

	// Only metrics show these.
	kept("count: 1", "quiet: true, retry: true, takes: 20s", 30*time.Second)
	kept("count: 1", "quiet: true, retry: true, takes: 40s, timeout: 45s", 41*time.Second)
	rolledBack("count: 1", "quiet: true, retry: true, fail: send, timeout: 5s", "exporters::unit/p",
		"nothing was delivered; the first request has been without success for ", 30*time.Second)
	rolledBack("count: 1", "quiet: true, retry: true, takes: 50s, timeout: 40s", "exporters::unit/p",
		"nothing was delivered; the first request has been without success for 41s", 41*time.Second)
	rolledBack("count: 1", "quiet: true, retry: true, takes: 100s, timeout: 2h", "exporters::unit/p", "nothing was delivered", 101*time.Second) // with its end
	kept("count: 0", "quiet: true, retry: true, fail: send", 30*time.Second)
}

// An exporter that failed before with the same configuration is not held against the
// new one.
func TestFailedBefore(t *testing.T) {
	f := func(old, next, receiver string, kept bool) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			l := newTestHost(t)
			r := newRunner(t, l, nil)
			require.NoError(t, r.Apply(t.Context(), set{"p": onePipeline("p", "count: 1", old)}, nil))
			time.Sleep(2 * time.Minute)
			r.set.Probation = 30 * time.Second
			err := r.Apply(t.Context(), set{"p": onePipeline("p", "count: 1, "+receiver, next)}, nil)
			require.Equal(t, kept, err == nil, err)
			require.NoError(t, r.Shutdown(context.Background()))
		})
	}
	for _, dead := range []string{
		"fail: send, retry: true", "fail: send, retry: true, quiet: true", "fail: send", "report: recoverable", "report: permanent",
	} {
		f(dead, dead, "token: x", true)
		f(dead, dead+", token: another", "", false)
		f("token: well", dead, "", false)
		f(dead, dead, "report: permanent", false)
	}
	f("token: well", "token: better", "", true)
}

// An error in the last seconds has as long as any other to pass.
func TestLateError(t *testing.T) {
	f := func(recovers string, kept bool, want time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			l := newTestHost(t)
			r := newRunner(t, l, func(s *Settings) { s.Probation = 3 * time.Second }) // grace: a second
			begin := time.Now()
			// Reports after a second: 2 s before the end, or passes by then.
			err := r.Apply(t.Context(), set{"p": onePipeline("p", "report: recoverable"+recovers, "")}, nil)
			require.Equal(t, kept, err == nil, err)
			require.Equal(t, want, time.Since(begin))
			require.NoError(t, r.Shutdown(context.Background()))
		})
	}
	f("", false, 3*time.Second)
	f(", recover: 1s", true, 3*time.Second)

	synctest.Test(t, func(t *testing.T) {
		l := newTestHost(t)
		r := newRunner(t, l, func(s *Settings) { s.Probation = 1200 * time.Millisecond }) // grace: 400 ms
		begin := time.Now()
		err := r.Apply(t.Context(), set{"p": onePipeline("p", "report: recoverable", "")}, nil)
		requireFailure(t, err, "p", StageProbation, "receivers::unit/p")
		require.Equal(t, 1400*time.Millisecond, time.Since(begin))
		err = r.Apply(t.Context(), set{"p": onePipeline("p", "report: recoverable, recover: 300ms", "")}, nil)
		require.NoError(t, err)
		require.Equal(t, 2800*time.Millisecond, time.Since(begin))
		require.NoError(t, r.Shutdown(context.Background()))
	})
}

// A fatal error after the probation restarts only that pipeline.
func TestKeeper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestHost(t)
		core, logs := observer.New(zapcore.DebugLevel)
		r := newRunner(t, l, func(s *Settings) { s.Telemetry.Logger = zap.New(core) })
		require.NoError(t, r.Apply(t.Context(), set{"a": onePipeline("a", "", ""), "f": onePipeline("f", "report: fatal", "")}, nil))
		a, f := l.unit("receiver:unit/a"), l.unit("receiver:unit/f")
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		require.Nil(t, l.unit("receiver:unit/f"))
		health := r.Health()
		require.False(t, health.Healthy)
		require.Equal(t, "down", health.Parts["f"].Status)
		require.Contains(t, health.Error, "pipelines::f: receivers::unit/f: StatusFatalError: an error that the collector's log has")
		require.True(t, health.Parts["a"].Healthy)

		time.Sleep(1500 * time.Millisecond) // the first pause is at most that
		synctest.Wait()
		require.NotNil(t, l.unit("receiver:unit/f"))
		require.NotSame(t, f, l.unit("receiver:unit/f"))
		require.Same(t, a, l.unit("receiver:unit/a"))
		require.Equal(t, 1, logs.FilterMessage("A remote pipeline that was down runs again").Len())

		// It fails a second after each start, so the pauses grow.
		starts := l.starts.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.InDelta(t, 30, l.starts.Load()-starts, 20) // without, 600

		// A new configuration ends the restarts.
		require.NoError(t, r.Apply(t.Context(), set{"a": onePipeline("a", "", "")}, nil))
		starts = l.starts.Load()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Equal(t, starts, l.starts.Load())
		require.Same(t, a, l.unit("receiver:unit/a"))
		for _, line := range logs.All() {
			if line.Message == "A component of a remote pipeline failed for good; the pipeline is restarted" {
				require.Equal(t, "f", line.ContextMap()[PipelineKey])
			}
		}
		require.NoError(t, r.Shutdown(context.Background()))
	})
}

func TestOwnMetrics(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	l := newTestHost(t)
	r := newRunner(t, l, func(s *Settings) {
		s.Telemetry = componenttest.NewNopTelemetrySettings()
		s.Telemetry.MeterProvider = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	})
	require.NoError(t, r.Apply(t.Context(), set{"a": onePipeline("a", "count: 1", ""), "b": onePipeline("b", "", "")}, nil))
	require.Error(t, r.Apply(t.Context(), set{"a": onePipeline("a", "fail: validate", "")}, nil)) // nothing was begun
	require.Error(t, r.Apply(t.Context(), set{"a": onePipeline("a", "", "token: x"), "c": onePipeline("c", "fail: start", "")}, nil))
	collect := func() (all map[string][]string) {
		all = make(map[string][]string)
		var got metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &got))
		for _, scope := range got.ScopeMetrics {
			for _, m := range scope.Metrics {
				switch data := m.Data.(type) {
				case metricdata.Gauge[int64]:
					for _, p := range data.DataPoints {
						v, _ := p.Attributes.Value(PipelineKey)
						all[m.Name] = append(all[m.Name], v.AsString())
						if m.Name == "otelcol_remote_config_pipelines" {
							require.EqualValues(t, 2, p.Value)
						}
					}
				case metricdata.Sum[int64]:
					for _, p := range data.DataPoints {
						if stage, has := p.Attributes.Value("stage"); has {
							require.Equal(t, "start", stage.AsString())
							require.EqualValues(t, 1, p.Value)
						}
						v, _ := p.Attributes.Value(PipelineKey)
						all[m.Name] = append(all[m.Name], v.AsString())
					}
				case metricdata.Histogram[float64]:
					if m.Name == "otelcol_remote_config_switch_duration" {
						require.EqualValues(t, 1, data.DataPoints[0].Count)
					}
					all[m.Name] = append(all[m.Name], "")
				}
			}
		}
		return all
	}
	got := collect()
	require.Contains(t, got, "otelcol_remote_config_pipelines")
	require.Contains(t, got, "otelcol_remote_config_rollbacks")
	require.Contains(t, got, "otelcol_remote_config_switch_duration")
	require.ElementsMatch(t, []string{"a", "b"}, got["testhost_observed"])
	for name := range got {
		require.NotContains(t, name, "otelcol_process_", "the host has them already")
	}
	require.Eventually(t, func() bool { return len(collect()["otelcol_exporter_sent_log_records"]) > 0 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, []string{"a"}, collect()["otelcol_exporter_sent_log_records"])

	require.NoError(t, r.Shutdown(t.Context()))
	got = collect()
	require.NotContains(t, got, "testhost_observed", "a callback of a pipeline that has ended")
	require.NotContains(t, got, "otelcol_remote_config_pipelines")
}
