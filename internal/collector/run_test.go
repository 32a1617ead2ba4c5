package collector

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/internal/reloading"
)

// decode returns the configuration of the receiver in text.
func decode(t *testing.T, w *fixture, text string) any {
	t.Helper()
	p, err := otelcol.NewConfigProvider(w.settings("yaml:" + text).ConfigProviderSettings)
	require.NoError(t, err)
	factories, err := w.factories()
	require.NoError(t, err)
	cfg, err := p.Get(t.Context(), factories)
	require.NoError(t, err)
	for _, c := range cfg.Receivers {
		return c
	}
	return nil
}

func errorTexts(errs []error) []string {
	var texts []string
	for _, err := range errs {
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	return texts
}

// TestFirstStartFails compares the errors with upstream's.
func TestFirstStartFails(t *testing.T) {
	f := func(uri string) {
		t.Helper()
		upstream, wantErr := otelcol.NewCollector(newFixture().settings(uri))
		if wantErr == nil {
			wantErr = upstream.Run(t.Context())
		}
		require.Error(t, wantErr)
		ours, err := New(newFixture().settings(uri))
		if err == nil {
			err = ours.Run(t.Context())
		}
		require.EqualError(t, err, wantErr.Error())
	}
	f("nosuch:x")
	f("/does/not/exist")
	f("yaml:a: [")
	f("yaml:{}")
	f("yaml:" + config("a", "size: 1"))
	f("yaml:" + config("a", "token: {}"))
	f("yaml:" + config("a", "create: error"))
	f("yaml:" + config("a", "start: error"))
	f("yaml:" + config("a", "server: {endpoint: ''}") + "service::extensions: [nobody]")
}

func TestFatalError(t *testing.T) {
	w := newFixture()
	c, err := New(w.settings("yaml:" + config("a", "start: fatal")))
	require.NoError(t, err)
	require.NoError(t, c.Run(t.Context()), "as with upstream")
	require.Equal(t, []string{"start a", "stop a"}, w.takeEvents())
	require.Len(t, w.logs.FilterMessage("Asynchronous error received, terminating process").All(), 1)
}

func TestShutdownBeforeRun(t *testing.T) {
	w := newFixture()
	c, err := New(w.settings("yaml:" + config("a", "")))
	require.NoError(t, err)
	c.Shutdown()
	require.NoError(t, c.Run(t.Context()))
	c.Shutdown()
	require.Empty(t, w.takeEvents())
}

func TestContextEnds(t *testing.T) {
	w := newFixture()
	c, err := New(w.settings("yaml:" + config("a", "")))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	w.setStartHook("a", cancel)
	require.NoError(t, c.Run(ctx))
	require.Equal(t, []string{"start a", "stop a"}, w.takeEvents())
	require.Len(t, w.logs.FilterMessage("Context done, terminating process").All(), 1)
}

// TestShutdownWhileRestoring shuts down while no service runs.
func TestShutdownWhileRestoring(t *testing.T) {
	s := run(t, config("a", ""), func(c *Collector) { c.minDelay = time.Hour })
	s.setFailure("a", "error")
	s.setFailure("b", "error")
	s.write(config("b", ""))
	s.reload(reloading.HTTP, reloading.RolledBack, "is tried again")
	s.Shutdown()
	require.NoError(t, <-s.end)
}

// TestTasksOutliveServices: Run waits for the goroutines of Controller.Go.
func TestTasksOutliveServices(t *testing.T) {
	s := run(t, config("a", ""), nil)
	proceed, done := make(chan struct{}), false
	s.controller.Go(func() { <-proceed; done = true })
	go func() {
		s.await(func() bool { return s.logs.FilterMessage("Shutdown complete.").Len() == 1 })
		close(proceed)
	}()
	s.Shutdown()
	require.True(t, done)
}

func TestReloadGivesUpWaiting(t *testing.T) {
	s := run(t, config("a", ""), nil)
	begun, proceed := make(chan struct{}), make(chan struct{})
	s.setStartHook("b", func() { close(begun); <-proceed })
	s.write(config("b", ""))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err := s.controller.Reload(ctx, reloading.HTTP)
	require.ErrorIs(t, err, context.Canceled)
	close(proceed)
	s.await(func() bool { return s.controller.Status().LastAttempt != nil })
	require.Equal(t, reloading.Applied, s.controller.Status().LastAttempt.Result, "the reload goes on")
}

func TestMetrics(t *testing.T) {
	s := run(t, config("a", ""), nil)
	// f compares the counter, by result and trigger, and the gauge.
	f := func(successful int64, want map[[2]string]int64) (timestamp float64) {
		t.Helper()
		s.mu.Lock()
		reader := s.reader
		s.mu.Unlock()
		var all metricdata.ResourceMetrics
		require.NoError(t, reader.Collect(t.Context(), &all))
		got := map[[2]string]int64{}
		for _, scope := range all.ScopeMetrics {
			if scope.Scope.Name != scopeName {
				continue
			}
			for _, m := range scope.Metrics {
				switch m.Name {
				case "otelcol_config_reloads":
					for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
						result, _ := p.Attributes.Value("result")
						trigger, _ := p.Attributes.Value("trigger")
						got[[2]string{result.AsString(), trigger.AsString()}] = p.Value
					}
				case "otelcol_config_last_reload_successful":
					require.Equal(t, successful, m.Data.(metricdata.Gauge[int64]).DataPoints[0].Value)
				case "otelcol_config_last_reload_success_timestamp_seconds":
					timestamp = m.Data.(metricdata.Gauge[float64]).DataPoints[0].Value
				}
			}
		}
		require.Equal(t, want, got)
		return timestamp
	}
	s.await(func() bool { return s.controller.Status().Generation == 1 })
	start := f(1, map[[2]string]int64{})
	require.InDelta(t, time.Now().Unix(), start, 60)
	s.write(config("b", "size: 1"))
	s.reload(reloading.File, reloading.Rejected, "size")
	require.InDelta(t, start, f(0, map[[2]string]int64{{"rejected", "file"}: 1}), 0)
	s.setFailure("b", "error")
	s.write(config("b", ""))
	s.reload(reloading.Signal, reloading.RolledBack, "broken")
	require.InDelta(t, start, f(0, map[[2]string]int64{{"rejected", "file"}: 1, {"rolled_back", "signal"}: 1}), 0)
	s.write(config("c", ""))
	s.reload(reloading.HTTP, reloading.Applied, "")
	s.reload(reloading.HTTP, reloading.Applied, "")
	require.Greater(t, f(1, map[[2]string]int64{{"rejected", "file"}: 1, {"rolled_back", "signal"}: 1, {"applied", "http"}: 2}), start)
}

// changing is a provider that reports changes.
type changing struct {
	watcher chan confmap.WatcherFunc
	text    chan string
}

func (changing) Scheme() string                 { return "changing" }
func (changing) Shutdown(context.Context) error { return nil }
func (p changing) Retrieve(_ context.Context, _ string, w confmap.WatcherFunc) (*confmap.Retrieved, error) {
	p.watcher <- w
	return confmap.NewRetrievedFromYAML([]byte(<-p.text))
}

func TestProviderReportsChange(t *testing.T) {
	w := newFixture()
	p := changing{make(chan confmap.WatcherFunc, 1), make(chan string, 1)}
	set := w.settings("changing:x")
	resolver := &set.ConfigProviderSettings.ResolverSettings
	resolver.ProviderFactories = append(resolver.ProviderFactories,
		confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return p }))
	c, err := New(set)
	require.NoError(t, err)
	c.settleTime = time.Millisecond
	end := make(chan error, 1)
	p.text <- config("a", "")
	go func() { end <- c.Run(context.WithoutCancel(t.Context())) }()

	changed := <-p.watcher
	p.text <- config("b", "")
	changed(&confmap.ChangeEvent{})
	changed = <-p.watcher
	require.Eventually(t, func() bool { return c.controller.Status().LastAttempt != nil }, 20*time.Second, time.Millisecond)
	require.Equal(t, reloading.Provider, c.controller.Status().LastAttempt.Trigger)
	require.Equal(t, reloading.Applied, c.controller.Status().LastAttempt.Result)

	changed(&confmap.ChangeEvent{Error: errors.New("lost the connection")})
	require.Eventually(t, func() bool {
		return w.logs.FilterMessageSnippet("cannot be watched").Len() == 1
	}, 20*time.Second, time.Millisecond)
	require.Equal(t, []string{"start a", "stop a", "start b"}, w.takeEvents())
	c.Shutdown()
	require.NoError(t, <-end)
}

func TestRelay(t *testing.T) {
	r := newRelay()
	log := zap.New(r).With(zap.Int("n", 1))
	log.Debug("early")
	w := newFixture()
	r.point(w.logCore)
	log.Info("late")
	for i, want := range []string{"early", "late"} {
		e := w.logs.All()[i]
		require.Equal(t, want, e.Message)
		require.Equal(t, map[string]any{"n": int64(1)}, e.ContextMap())
	}
	require.NoError(t, log.Sync())
	require.NoError(t, r.Write(zapcore.Entry{Message: "unchecked"}, nil))
	require.Equal(t, 3, w.logs.Len())

	g := grpcLogger{}
	require.True(t, g.V(0))
	require.False(t, g.V(2))
	core := grpcCore{r}
	require.True(t, core.Enabled(zapcore.InfoLevel), "debug is on")
	info, _ := zapcore.NewIncreaseLevelCore(w.logCore, zapcore.InfoLevel)
	r.point(info)
	require.False(t, core.Enabled(zapcore.InfoLevel))
	require.True(t, core.With(nil).Enabled(zapcore.WarnLevel))
	require.Nil(t, core.Check(zapcore.Entry{Level: zapcore.InfoLevel}, nil))
	require.NotNil(t, core.Check(zapcore.Entry{Level: zapcore.WarnLevel}, nil))
}
