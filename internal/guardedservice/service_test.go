package guardedservice

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/service"
	"go.opentelemetry.io/collector/service/pipelines"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/goleak"
	"go.uber.org/zap/zapcore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// probe is a receiver with hooks.
type probe struct {
	create   func() error
	start    func(ctx context.Context, host component.Host) error
	shutdown func() error
}

func (p *probe) Start(ctx context.Context, host component.Host) error {
	if p.start == nil {
		return nil
	}
	return p.start(ctx, host)
}

func (p *probe) Shutdown(context.Context) error {
	if p.shutdown == nil {
		return nil
	}
	return p.shutdown()
}

// meterProvider counts its shutdowns.
type meterProvider struct {
	noop.MeterProvider
	shutdowns int
}

func (p *meterProvider) Shutdown(context.Context) error {
	p.shutdowns++
	return nil
}

var probeType = component.MustNewType("probe")

// settings returns settings of a service with p as its receiver, and its telemetry.
func settings(p *probe) (service.Settings, service.Config, *meterProvider) {
	id, nop := component.NewID(probeType), exportertest.NewNopFactory()
	nopID := component.NewID(nop.Type())
	meters := new(meterProvider)
	cfg := &otelcol.Config{
		Receivers: map[component.ID]component.Config{id: &struct{}{}},
		Exporters: map[component.ID]component.Config{nopID: nop.CreateDefaultConfig()},
		Service: service.Config{Pipelines: pipelines.Config{
			pipeline.NewID(pipeline.SignalLogs): {Receivers: []component.ID{id}, Exporters: []component.ID{nopID}},
		}},
	}
	set := Settings(cfg, otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{probeType: receiver.NewFactory(probeType,
			func() component.Config { return &struct{}{} },
			receiver.WithLogs(func(context.Context, receiver.Settings, component.Config, consumer.Logs) (receiver.Logs, error) {
				if p.create == nil {
					return p, nil
				}
				return p, p.create()
			}, component.StabilityLevelStable))},
		Exporters: map[component.Type]exporter.Factory{nop.Type(): nop},
	})
	set.TelemetryFactory = telemetry.NewFactory(func() component.Config { return nil },
		telemetry.WithCreateMeterProvider(func(context.Context, telemetry.MeterSettings, component.Config) (telemetry.MeterProvider, error) {
			return meters, nil
		}))
	return set, cfg.Service, meters
}

func explode() error { panic("by a test") } //nolint:forbidigo // as a component with a bug does

func requirePanic(t *testing.T, err error, text string) {
	t.Helper()
	var p *PanicError
	require.ErrorAs(t, err, &p)
	require.EqualError(t, p, text)
	require.Contains(t, string(p.Stack), "service_test.go")
}

func TestLifecycle(t *testing.T) {
	var alive context.Context
	set, cfg, meters := settings(&probe{start: func(ctx context.Context, _ component.Host) error {
		alive = ctx
		return nil
	}})
	s, err := New(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NotNil(t, s.Logger())
	type key struct{}
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, s.Start(context.WithValue(t.Context(), key{}, "value"), ctx))
	cancel()
	require.NoError(t, alive.Err(), "the context outlives Start")
	require.Equal(t, "value", alive.Value(key{}))
	require.NoError(t, s.Shutdown(t.Context()))
	require.Error(t, alive.Err())
	require.Equal(t, 1, meters.shutdowns)
}

func TestShutdownWithoutStart(t *testing.T) {
	set, cfg, meters := settings(&probe{})
	s, err := New(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(t.Context()))
	require.Equal(t, 1, meters.shutdowns)
}

// Whatever panics, the telemetry does not outlive the service.
func TestPanics(t *testing.T) {
	set, cfg, meters := settings(&probe{create: explode})
	err := Guard("making it", func() error {
		_, err := New(t.Context(), set, cfg)
		return err
	})
	requirePanic(t, err, "panic while making it: by a test")
	require.Equal(t, 1, meters.shutdowns)

	set, cfg, meters = settings(&probe{start: func(context.Context, component.Host) error { return explode() }})
	s, err := New(t.Context(), set, cfg)
	require.NoError(t, err)
	requirePanic(t, s.StartWithin(t.Context(), t.Context()), "panic: by a test")
	require.NoError(t, s.Shutdown(t.Context()))
	require.Equal(t, 1, meters.shutdowns)

	set, cfg, meters = settings(&probe{shutdown: explode})
	s, err = New(t.Context(), set, cfg)
	require.NoError(t, err)
	requirePanic(t, s.Shutdown(t.Context()), "panic while shutting down: by a test")
	require.Equal(t, 1, meters.shutdowns)
}

func TestNewFails(t *testing.T) {
	broken := errors.New("broken")
	set, cfg, meters := settings(&probe{create: func() error { return broken }})
	_, err := New(t.Context(), set, cfg)
	require.ErrorIs(t, err, broken)
	require.Equal(t, 1, meters.shutdowns)
}

func TestStartTooLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	set, cfg, _ := settings(&probe{start: func(alive context.Context, _ component.Host) error {
		cancel()
		<-alive.Done()
		return nil
	}})
	s, err := New(t.Context(), set, cfg)
	require.NoError(t, err)
	require.ErrorIs(t, s.Start(t.Context(), ctx), ErrTooLate)
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, stopped := make(chan struct{}), make(chan struct{})
		set, cfg, _ := settings(&probe{
			start:    func(context.Context, component.Host) error { <-release; return nil },
			shutdown: func() error { close(stopped); return nil },
		})
		s, err := New(t.Context(), set, cfg)
		require.NoError(t, err)
		cause := errors.New("it takes longer than a minute")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, cause)
		defer cancel()
		began := time.Now()
		err = s.StartWithin(t.Context(), ctx)
		require.ErrorIs(t, err, ErrStuck)
		require.ErrorIs(t, err, cause)
		require.Equal(t, time.Minute+Grace, time.Since(began))
		close(release)
		<-stopped
	})
	synctest.Test(t, func(t *testing.T) {
		release, late := make(chan struct{}), make(chan error, 1)
		var alive context.Context
		set, cfg, _ := settings(&probe{
			start:    func(ctx context.Context, _ component.Host) error { alive = ctx; return nil },
			shutdown: func() error { <-release; return nil },
		})
		s, err := New(t.Context(), set, cfg)
		require.NoError(t, err)
		require.NoError(t, s.Start(t.Context(), t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, s.ShutdownWithin(ctx, func(err error) { late <- err }), ErrStuck)
		require.Error(t, alive.Err(), "what is stuck is told to end")
		close(release)
		require.NoError(t, <-late)
	})
}

// A fatal error waits for no reader, and is there for one who comes later.
func TestFatal(t *testing.T) {
	broken := errors.New("broken")
	set, cfg, _ := settings(&probe{start: func(_ context.Context, host component.Host) error {
		componentstatus.ReportStatus(host, componentstatus.NewFatalErrorEvent(broken))
		return nil
	}})
	s, err := New(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, s.Start(t.Context(), t.Context()))
	require.Equal(t, broken, <-s.Fatal())
	require.NoError(t, s.Shutdown(t.Context()))
}

func TestMaxFatal(t *testing.T) {
	id := component.MustNewID("x")
	set := service.Settings{ConnectorsConfigs: map[component.ID]component.Config{id: nil}}
	cfg := service.Config{Extensions: []component.ID{id}, Pipelines: pipelines.Config{
		pipeline.NewID(pipeline.SignalLogs):   {Receivers: []component.ID{id}, Exporters: []component.ID{id}},
		pipeline.NewID(pipeline.SignalTraces): {Receivers: []component.ID{id}, Processors: []component.ID{id}, Exporters: []component.ID{id}},
	}}
	require.Equal(t, 1+16+2+3, maxFatal(set, cfg))
}

func TestDryRun(t *testing.T) {
	f := func(p *probe) (discardErr, err error) {
		t.Helper()
		p.start = func(context.Context, component.Host) error {
			require.Fail(t, "started")
			return nil
		}
		set, cfg, meters := settings(p)
		isWrapped := false
		set.TelemetryFactory = NoTelemetry(func(core zapcore.Core) zapcore.Core {
			isWrapped = true
			return core
		})
		discardErr, err = DryRun(t.Context(), set, cfg, time.Minute)
		require.True(t, isWrapped)
		require.Zero(t, meters.shutdowns, "its telemetry is not that of the service")
		return discardErr, err
	}
	broken := errors.New("broken")
	discardErr, err := f(&probe{})
	require.NoError(t, errors.Join(discardErr, err))
	discardErr, err = f(&probe{create: func() error { return broken }})
	require.ErrorIs(t, err, broken)
	require.NoError(t, discardErr)
	discardErr, err = f(&probe{shutdown: func() error { return broken }})
	require.NoError(t, err)
	require.ErrorIs(t, discardErr, broken)
	discardErr, err = f(&probe{shutdown: explode})
	require.NoError(t, err)
	requirePanic(t, discardErr, "panic while shutting down: by a test")
}

func TestGuard(t *testing.T) {
	require.NoError(t, Guard("", func() error { return nil }))
	requirePanic(t, Guard("", explode), "panic: by a test")
	broken := errors.New("broken")
	value, err := CallValue(t.Context(), func() (int, error) { return 7, broken }, func(int, error) { t.Fail() })
	require.Equal(t, 7, value)
	require.Equal(t, broken, err)
}

func TestSettings(t *testing.T) {
	id := component.MustNewID("x")
	configs := map[component.ID]component.Config{id: 1}
	set := Settings(&otelcol.Config{Receivers: configs, Processors: configs, Exporters: configs, Connectors: configs, Extensions: configs},
		otelcol.Factories{
			Receivers: map[component.Type]receiver.Factory{}, Processors: map[component.Type]processor.Factory{},
			Exporters: map[component.Type]exporter.Factory{}, Connectors: map[component.Type]connector.Factory{},
			Extensions: map[component.Type]extension.Factory{},
		})
	for _, c := range []map[component.ID]component.Config{set.ReceiversConfigs, set.ProcessorsConfigs, set.ExportersConfigs, set.ConnectorsConfigs, set.ExtensionsConfigs} {
		require.Equal(t, configs, c)
	}
	require.NotNil(t, set.ReceiversFactories)
	require.NotNil(t, set.ProcessorsFactories)
	require.NotNil(t, set.ExportersFactories)
	require.NotNil(t, set.ConnectorsFactories)
	require.NotNil(t, set.ExtensionsFactories)
}
