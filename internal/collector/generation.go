package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service"

	"github.com/invar-otel/invar/internal/guardedservice"
)

// generation is one service: made from a source, started once, stopped once.
// The goroutine of Run owns it.
type generation struct {
	number   int
	source   *source
	settings service.Settings
	config   *otelcol.Config

	service  *guardedservice.Service // nil before it is made
	started  time.Time               // zero before it is started
	restored bool                    // the configuration had run before
}

// newGeneration decodes a source for one start. An error is about the
// configuration.
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
	set := guardedservice.Settings(cfg, factories)
	set.BuildInfo = c.set.BuildInfo
	set.ConfigSnapshot = snapshot(cfg, effective, s.unexpanded)
	set.ModuleInfos = service.ModuleInfos{
		Receiver:  moduleInfo(factories.ReceiverModules),
		Processor: moduleInfo(factories.ProcessorModules),
		Exporter:  moduleInfo(factories.ExporterModules),
		Connector: moduleInfo(factories.ConnectorModules),
		Extension: moduleInfo(factories.ExtensionModules),
	}
	set.BuildZapLogger = withLoggingOptions(c.set)
	set.TelemetryFactory = telemetryFactory{Factory: factories.Telemetry, controller: c.controller}
	return &generation{source: s, config: cfg, settings: set}, nil
}

func moduleInfo(modules map[component.Type]string) map[component.Type]service.ModuleInfo {
	infos := make(map[component.Type]service.ModuleInfo, len(modules))
	for t, m := range modules {
		infos[t] = service.ModuleInfo{BuilderRef: m}
	}
	return infos
}

// start makes and starts the service. ctx is the process's and outlives the
// service; the end of life cancels the start. After an error or a panic the caller
// calls stop.
func (c *Collector) start(ctx, life context.Context, g *generation) error {
	var err error
	if g.service, err = guardedservice.New(ctx, g.settings, g.config.Service); err != nil {
		return err
	}
	c.relay.point(g.service.Logger().Core())
	if !c.set.SkipSettingGRPCLogger {
		c.grpc.Do(func() { logGRPC(c.relay) })
	}
	if err := g.service.Start(ctx, life); err != nil && !errors.Is(err, guardedservice.ErrTooLate) {
		return err
	}
	c.generations++
	g.number, g.started = c.generations, time.Now()
	return nil
}

// stop shuts the service down, whether or not it was started. It has no timeout,
// because it waits for the pipelines to drain.
func (g *generation) stop(ctx context.Context) error {
	if g.service == nil {
		return nil
	}
	return g.service.Shutdown(ctx)
}
