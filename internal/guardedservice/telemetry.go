package guardedservice

import (
	"context"
	"errors"
	"slices"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// recordingFactory remembers how the providers that the factory in it makes are
// shut down, which is lost after a panic in the service.
type recordingFactory struct {
	telemetry.Factory
	shutdowns []component.ShutdownFunc
}

// CreateLogger implements telemetry.Factory.
func (f *recordingFactory) CreateLogger(ctx context.Context, set telemetry.LoggerSettings, cfg component.Config) (*zap.Logger, component.ShutdownFunc, error) {
	logger, shutdown, err := f.Factory.CreateLogger(ctx, set, cfg)
	if err == nil {
		f.shutdowns = append(f.shutdowns, shutdown)
	}
	return logger, shutdown, err
}

// CreateMeterProvider implements telemetry.Factory.
func (f *recordingFactory) CreateMeterProvider(ctx context.Context, set telemetry.MeterSettings, cfg component.Config) (telemetry.MeterProvider, error) {
	p, err := f.Factory.CreateMeterProvider(ctx, set, cfg)
	if err == nil {
		f.shutdowns = append(f.shutdowns, p.Shutdown)
	}
	return p, err
}

// CreateTracerProvider implements telemetry.Factory.
func (f *recordingFactory) CreateTracerProvider(ctx context.Context, set telemetry.TracerSettings, cfg component.Config) (telemetry.TracerProvider, error) {
	p, err := f.Factory.CreateTracerProvider(ctx, set, cfg)
	if err == nil {
		f.shutdowns = append(f.shutdowns, p.Shutdown)
	}
	return p, err
}

// shutdown shuts the providers down, the last one first.
func (f *recordingFactory) shutdown(ctx context.Context) error {
	var errs []error
	for _, shutdown := range slices.Backward(f.shutdowns) {
		errs = append(errs, shutdown.Shutdown(ctx))
	}
	return errors.Join(errs...)
}

// NoTelemetry returns a factory of telemetry that goes nowhere, for a dry run.
// wrap, which may be nil, wraps the core of the service's logger: the service makes
// a logger for each component before the component.
func NoTelemetry(wrap func(zapcore.Core) zapcore.Core) telemetry.Factory {
	core := zapcore.NewNopCore()
	if wrap != nil {
		core = wrap(core)
	}
	return telemetry.NewFactory(func() component.Config { return nil },
		telemetry.WithCreateLogger(func(context.Context, telemetry.LoggerSettings, component.Config) (*zap.Logger, component.ShutdownFunc, error) {
			return zap.New(core), nil, nil
		}))
}
