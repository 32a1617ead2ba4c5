package collector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service"
)

// generation is one service: built from a source, started once, stopped once.
// The goroutine of Run owns it.
type generation struct {
	number    int
	source    *source
	settings  service.Settings
	config    *otelcol.Config
	telemetry *telemetryFactory

	service  *service.Service // nil before start
	fatal    chan error       // what components report as fatal
	endStart context.CancelFunc
	panicked bool      // in New, Start or Shutdown
	started  time.Time // zero before start
	restored bool      // this is a return to a configuration that had run
}

// newGeneration decodes a source for one start. The error says what is wrong
// with the configuration.
func (c *Collector) newGeneration(ctx context.Context, s *source) (*generation, error) {
	factories, err := c.set.Factories()
	if err != nil {
		return nil, fmt.Errorf("failed to initialize factories: %w", err)
	}
	cfg, err := s.decode(ctx, factories)
	if err != nil {
		return nil, fmt.Errorf("failed to get config: %w", withoutSecrets(err, nil, s.unexpanded))
	}
	if err := confmap.Validate(cfg); err != nil {
		return nil, fmt.Errorf("invalid configuration: %w", withoutSecrets(err, cfg, s.unexpanded))
	}
	effective := confmap.New()
	if err := effective.Marshal(cfg); err != nil {
		return nil, fmt.Errorf("could not marshal configuration: %w", err)
	}
	g := &generation{
		source:    s,
		config:    cfg,
		telemetry: &telemetryFactory{Factory: factories.Telemetry, controller: c.controller},
		fatal:     make(chan error, instances(cfg.Service)),
	}
	g.settings = service.Settings{
		BuildInfo:      c.set.BuildInfo,
		ConfigSnapshot: snapshot(cfg, effective, s.unexpanded),

		ReceiversConfigs: cfg.Receivers, ReceiversFactories: factories.Receivers,
		ProcessorsConfigs: cfg.Processors, ProcessorsFactories: factories.Processors,
		ExportersConfigs: cfg.Exporters, ExportersFactories: factories.Exporters,
		ConnectorsConfigs: cfg.Connectors, ConnectorsFactories: factories.Connectors,
		ExtensionsConfigs: cfg.Extensions, ExtensionsFactories: factories.Extensions,

		ModuleInfos: service.ModuleInfos{
			Receiver:  moduleInfo(factories.ReceiverModules),
			Processor: moduleInfo(factories.ProcessorModules),
			Exporter:  moduleInfo(factories.ExporterModules),
			Connector: moduleInfo(factories.ConnectorModules),
			Extension: moduleInfo(factories.ExtensionModules),
		},
		AsyncErrorChannel: g.fatal,
		BuildZapLogger:    withLoggingOptions(c.set),
		TelemetryFactory:  g.telemetry,
	}
	return g, nil
}

// instances is how many components a service has at most, each of which can
// report one fatal error. With room for all of them nobody waits for a reader
// while the service is being started or stopped.
func instances(cfg service.Config) int {
	n := len(cfg.Extensions)
	for _, p := range cfg.Pipelines {
		n += len(p.Receivers) + len(p.Processors) + len(p.Exporters)
	}
	return n
}

func moduleInfo(modules map[component.Type]string) map[component.Type]service.ModuleInfo {
	infos := make(map[component.Type]service.ModuleInfo, len(modules))
	for t, m := range modules {
		infos[t] = service.ModuleInfo{BuilderRef: m}
	}
	return infos
}

// start builds and starts the service. ctx is the process's and outlives the
// service; the end of life breaks the start off. After an error, stop cleans up.
func (c *Collector) start(ctx, life context.Context, g *generation) error {
	g.panicked = true // until proven otherwise
	var err error
	g.service, err = service.New(ctx, g.settings, g.config.Service)
	g.panicked = false
	if err != nil {
		return err
	}
	c.relay.point(g.service.Logger().Core())
	if !c.set.SkipSettingGRPCLogger {
		c.grpc.Do(func() { logGRPC(c.relay) })
	}
	// Components must not use this context after Start, but those that do should
	// not find it ended before they are shut down.
	startCtx, end := context.WithCancel(ctx)
	g.endStart = end
	unlink := context.AfterFunc(life, end)
	defer unlink()
	g.panicked = true
	err = g.service.Start(startCtx)
	g.panicked = false
	if err != nil {
		return err
	}
	c.generations++
	g.number, g.started = c.generations, time.Now()
	return nil
}

// stop shuts the service down, whole or not. It is not limited in time: what it
// waits for is data on its way.
func (g *generation) stop(ctx context.Context) error {
	var err error
	if g.service != nil {
		g.panicked = true
		err = recovered("shutting down", func() error { return g.service.Shutdown(ctx) })
		var p *panicError
		g.panicked = errors.As(err, &p)
	}
	if g.panicked {
		// Its listeners would stand in the way of the next service.
		_ = g.telemetry.shutdown(ctx) // of some a second time
	}
	if g.endStart != nil {
		g.endStart()
	}
	return err
}

// panicError is a panic in a component.
type panicError struct {
	doing string
	value any
	stack []byte
}

// Error implements error.
func (e *panicError) Error() string { return fmt.Sprintf("panic while %s: %v", e.doing, e.value) }

// recovered makes an error of a panic in f.
func recovered(doing string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{doing: doing, value: v, stack: debug.Stack()}
		}
	}()
	return f()
}
