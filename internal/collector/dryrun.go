package collector

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.uber.org/zap"
)

// dryRunShutdownTime bounds the wait for the components of a dry run to shut
// down, which have nothing to do.
const dryRunShutdownTime = 10 * time.Second

// dryRun finds out whether g could be started, as far as that can be known
// while another generation runs: its pipelines and extensions are built, with
// no telemetry, and what components open only at their start is tried. g cannot
// be started afterwards, for components have had its configuration.
func (c *Collector) dryRun(ctx context.Context, g *generation) error {
	if err := preflight(ctx, g.config); err != nil {
		return err
	}
	set := g.settings
	set.TelemetryFactory = telemetry.NewFactory(func() component.Config { return nil })
	return recovered("building the pipelines", func() error {
		srv, err := service.New(ctx, set, g.config.Service)
		if err != nil {
			return err
		}
		c.discard(ctx, srv)
		return nil
	})
}

// discard shuts a service down that was never started, which components must
// be able to. One that is not is no reason to refuse the configuration.
func (c *Collector) discard(ctx context.Context, srv *service.Service) {
	done := make(chan error, 1)
	go func() {
		done <- recovered("discarding the dry run", func() error { return srv.Shutdown(ctx) })
	}()
	timer := time.NewTimer(dryRunShutdownTime)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			c.log.Debug("Components of the dry run could not be shut down", zap.Error(err))
		}
	case <-timer.C:
		c.log.Warn("Components of the dry run do not shut down; going on without them")
	}
}
