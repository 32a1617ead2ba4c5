// Package guardedservice runs a service of the collector core in a process that
// outlives it: beside others, or one after the other.
//
//	Settings ──▶ New ──▶ Start ──▶ Fatal … ──▶ Shutdown
//	                │
//	                └──▶ DryRun: New and Shutdown, nothing is started
//
// A service alone is not enough for that. If a component panics while the service
// is made or shut down, its telemetry keeps listening; the context of Start must
// not end before the components do; and a component that reports a fatal error
// blocks until the error is read. Service takes care of these.
//
// [Guard] makes an error of a panic, and [Call] stops waiting for what does not
// return. Callers choose which of the two they need around New and Start. Policies
// are theirs as well: when to reload, what to watch, what to return to.
//
// Panics on goroutines that a component started cannot be caught.
package guardedservice

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service"
	"go.uber.org/zap"
)

// ErrTooLate is returned by [Service.Start] if all components have started, but
// only after the context had ended.
var ErrTooLate = errors.New("it started too late")

// Service is one service, from New to Shutdown. It is started at most once and
// shut down once. Its methods are not safe for concurrent use, except that Fatal
// may be read at any time.
type Service struct {
	service   *service.Service
	telemetry *recordingFactory
	fatal     chan error
	endStart  context.CancelFunc // ends the context of Start; never nil
}

// Settings returns settings with the components of a configuration and their
// factories. The caller adds the rest, except AsyncErrorChannel, which is New's.
func Settings(cfg *otelcol.Config, factories otelcol.Factories) service.Settings {
	return service.Settings{
		ReceiversConfigs: cfg.Receivers, ReceiversFactories: factories.Receivers,
		ProcessorsConfigs: cfg.Processors, ProcessorsFactories: factories.Processors,
		ExportersConfigs: cfg.Exporters, ExportersFactories: factories.Exporters,
		ConnectorsConfigs: cfg.Connectors, ConnectorsFactories: factories.Connectors,
		ExtensionsConfigs: cfg.Extensions, ExtensionsFactories: factories.Extensions,
	}
}

// New makes a service with its telemetry and components. If it returns an error or
// panics, its telemetry is shut down.
func New(ctx context.Context, set service.Settings, cfg service.Config) (*Service, error) {
	s := &Service{
		telemetry: &recordingFactory{Factory: set.TelemetryFactory},
		fatal:     make(chan error, maxFatal(set, cfg)),
		endStart:  func() {},
	}
	set.TelemetryFactory, set.AsyncErrorChannel = s.telemetry, s.fatal
	returned := false
	defer func() {
		if !returned {
			_ = s.telemetry.shutdown(ctx) // the panic is what counts
		}
	}()
	var err error
	s.service, err = service.New(ctx, set, cfg)
	returned = true
	if err != nil {
		return nil, err
	}
	return s, nil
}

// maxConnectorInstances is how many instances one connector has at most: it has one
// for each pair of signals.
const maxConnectorInstances = 4 * 4

// maxFatal returns how many fatal errors a service can report: one for each
// instance of a component. With room for all of them no component waits for a
// reader, even while the service is starting or shutting down.
func maxFatal(set service.Settings, cfg service.Config) int {
	n := len(cfg.Extensions) + maxConnectorInstances*len(set.ConnectorsConfigs)
	for _, p := range cfg.Pipelines {
		n += len(p.Receivers) + len(p.Processors) + len(p.Exporters)
	}
	return n
}

// Start starts the components. Their context has the values of base and ends when
// Shutdown has stopped them: components should not use it after their Start, but
// some do. If ctx ends during the start, so does their context.
//
// After an error or a panic the caller calls Shutdown. If the error is ErrTooLate
// the components run, with a context that has ended.
func (s *Service) Start(base, ctx context.Context) error {
	alive, end := context.WithCancel(base)
	s.endStart = end
	unlink := context.AfterFunc(ctx, end)
	err := s.service.Start(alive)
	if !unlink() && err == nil {
		return ErrTooLate
	}
	return err
}

// StartWithin is Start for as long as ctx lasts, and returns a panic as a
// *PanicError. If it returns ErrStuck, the service is shut down when the components
// have started after all; the caller must not use it any more.
func (s *Service) StartWithin(base, ctx context.Context) error {
	return Call(ctx, func() error { return s.Start(base, ctx) },
		func(error) { _ = s.Shutdown(context.WithoutCancel(base)) })
}

// Logger returns the logger of the service.
func (s *Service) Logger() *zap.Logger { return s.service.Logger() }

// Fatal returns the errors that components report as fatal. It need not be read,
// and is never closed.
func (s *Service) Fatal() <-chan error { return s.fatal }

// Shutdown stops the service, whether or not it was started. It takes as long as
// the components do. A panic is returned as a *PanicError.
func (s *Service) Shutdown(ctx context.Context) error {
	defer s.endStart()
	err := Guard("shutting down", func() error { return s.service.Shutdown(ctx) })
	if p := new(PanicError); errors.As(err, &p) {
		_ = s.telemetry.shutdown(ctx) // some of it was shut down before the panic
	}
	return err
}

// ShutdownWithin is Shutdown for as long as ctx lasts. If components do not stop
// by then, it returns ErrStuck and ends their context, and late is called when they
// have stopped after all.
func (s *Service) ShutdownWithin(ctx context.Context, late func(error)) error {
	err := Call(ctx, func() error { return s.Shutdown(ctx) }, late)
	if errors.Is(err, ErrStuck) {
		s.endStart()
	}
	return err
}

// DryRun makes a service and shuts it down without a start, to find out whether it
// can be made. The components that it is made of cannot be used again. discardErr
// is the error of the shutdown, for which it waits no longer than timeout; it says
// little about the configuration.
func DryRun(ctx context.Context, set service.Settings, cfg service.Config, timeout time.Duration) (discardErr, err error) {
	s, err := New(ctx, set, cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.ShutdownWithin(ctx, func(error) {}), nil
}
