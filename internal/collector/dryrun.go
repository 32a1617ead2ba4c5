package collector

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/guardedservice"
)

// dryRunShutdownTime bounds the shutdown of components that were never started.
const dryRunShutdownTime = 10 * time.Second

// dryRun finds out whether g could be started, as far as that can be known while
// another generation runs: its pipelines and extensions are made, without telemetry,
// and what components open only at their start is tried. g cannot be started
// afterwards, because components have had its configuration.
func (c *Collector) dryRun(ctx context.Context, g *generation) error {
	if err := preflight(ctx, g.config); err != nil {
		return err
	}
	set := g.settings
	set.TelemetryFactory = guardedservice.NoTelemetry(nil)
	var discardErr error
	err := guardedservice.Guard("building the pipelines", func() (err error) {
		discardErr, err = guardedservice.DryRun(ctx, set, g.config.Service, dryRunShutdownTime)
		return err
	})
	// A component that cannot be shut down without a start is no reason to refuse
	// the configuration.
	switch {
	case errors.Is(discardErr, guardedservice.ErrStuck):
		c.log.Warn("Components of the dry run do not shut down; going on without them")
	case discardErr != nil:
		c.log.Debug("Components of the dry run could not be shut down", zap.Error(discardErr))
	}
	return err
}
