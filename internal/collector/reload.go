package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/guardedservice"
	"github.com/invar-otel/invar/internal/reloading"
)

// reload serves the waiting requests with one reload.
func (c *Collector) reload(ctx, life context.Context) {
	trigger, requests := c.controller.takeRequests()
	if len(requests) == 0 {
		return
	}
	a := reloading.Attempt{Time: time.Now(), Trigger: trigger}
	log := c.log.With(zap.String("trigger", string(trigger)))
	log.Info("Reloading the configuration")
	c.change(ctx, life, &a)
	if p := new(guardedservice.PanicError); errors.As(a.Err, &p) {
		log = log.With(zap.ByteString("panic", p.Stack))
	}
	switch a.Result {
	case reloading.Applied:
		log.Info("The new configuration runs", zap.String("hash", a.Hash))
	case reloading.Unchanged:
		log.Info("The configuration has not changed", zap.String("hash", a.Hash))
	case reloading.Rejected:
		log.Error("The new configuration is rejected; nothing was changed", zap.Error(a.Err))
	case reloading.RolledBack:
		log.Error("The new configuration did not start and was rolled back", zap.Error(a.Err))
	default: // the process is ending
		reply(requests, outcome{err: reloading.ErrEnding})
		return
	}
	c.controller.finish(a, requests)
}

// change does one reload and fills in the outcome.
func (c *Collector) change(ctx, life context.Context, a *reloading.Attempt) {
	next, err := c.prepare(ctx, life, a)
	if life.Err() != nil {
		return
	}
	if err != nil {
		a.Result, a.Err = reloading.Rejected, err
		return
	}
	if next == nil {
		a.Result = reloading.Unchanged
		return
	}
	same := c.running != nil && c.running.source.hash == next.source.hash
	stopped := time.Now()
	if c.running != nil {
		c.retire(ctx) // nothing is received until next has started
	}
	if life.Err() != nil {
		return
	}
	err = c.begin(ctx, life, next)
	if same && bounded(a.Trigger) {
		c.repeats.restarted, c.repeats.interrupted = time.Now(), time.Since(stopped)
	}
	if err == nil {
		err = c.settle(ctx, life)
	}
	if life.Err() != nil {
		return
	}
	if err == nil {
		c.accept(next)
		a.Result = reloading.Applied
		return
	}
	a.Result, a.Err, c.restoreDelay = reloading.RolledBack, err, c.minDelay
	if err := c.restore(ctx, life); err != nil {
		a.Err = fmt.Errorf("%w; the previous configuration does not start either and is tried again: %w", a.Err, err)
	}
}

// prepare does the part of a reload that is possible while the old service runs. It
// returns nil if there is nothing to change.
func (c *Collector) prepare(ctx, life context.Context, a *reloading.Attempt) (*generation, error) {
	var g *generation
	err := guardedservice.Guard("reading the configuration", func() error {
		s, err := c.loader.load(life)
		c.noteFiles()
		if err != nil {
			return fmt.Errorf("failed to get config: %w", err)
		}
		a.Hash = s.hash
		if c.running != nil && s.hash == c.running.source.hash && (a.Trigger.Watches() || c.repeats.tooEarly(a.Trigger)) {
			return nil
		}
		trial, err := c.newGeneration(ctx, s)
		if err != nil {
			return err
		}
		if err := c.dryRun(ctx, trial); err != nil {
			return err
		}
		g, err = c.newGeneration(ctx, s)
		return err
	})
	return g, err
}

// begin starts a service. After an error or a panic the service has been stopped.
func (c *Collector) begin(ctx, life context.Context, g *generation) error {
	err := guardedservice.Guard("starting", func() error { return c.start(ctx, life, g) })
	if err != nil {
		c.abandon(ctx, g)
		return err
	}
	c.running = g
	c.controller.setRunning(g)
	return nil
}

// retire stops the running service.
func (c *Collector) retire(ctx context.Context) {
	c.abandon(ctx, c.running)
	c.running = nil
	c.controller.setRunning(nil)
}

// abandon stops a service and only logs its errors.
func (c *Collector) abandon(ctx context.Context, g *generation) {
	if err := g.stop(ctx); err != nil {
		c.log.Warn("The retired configuration did not shut down cleanly", zap.Error(err))
	}
}

// settle waits for settleTime. If a component reports a fatal error meanwhile, it
// stops the service and returns the error.
func (c *Collector) settle(ctx, life context.Context) error {
	timer := time.NewTimer(c.settleTime)
	defer timer.Stop()
	select {
	case err := <-c.running.service.Fatal():
		c.retire(ctx)
		return fmt.Errorf("a component failed within %s of the start: %w", c.settleTime, err)
	case <-timer.C:
	case <-life.Done():
	}
	return nil
}

// restore makes one attempt to start the proven configuration.
func (c *Collector) restore(ctx, life context.Context) error {
	var g *generation
	err := guardedservice.Guard("reading the configuration", func() error {
		var err error
		g, err = c.newGeneration(ctx, c.proven)
		return err
	})
	if err == nil {
		g.restored = true
		err = c.begin(ctx, life, g)
	}
	if err != nil {
		c.log.Error("The previous configuration does not start", zap.Error(err), zap.Duration("next_attempt_in", c.restoreDelay))
		return err
	}
	c.log.Info("The previous configuration runs again")
	return nil
}

// awaitRestore tries to restore, with delays, until a service runs, a reload is
// requested, or life ends.
func (c *Collector) awaitRestore(ctx, life context.Context) {
	for c.running == nil {
		timer := time.NewTimer(c.restoreDelay)
		select {
		case <-timer.C:
		case <-c.controller.asked:
			timer.Stop()
			c.controller.wake()
			return
		case <-life.Done():
			timer.Stop()
			return
		}
		c.restoreDelay = min(2*c.restoreDelay, c.maxDelay)
		_ = c.restore(ctx, life) // logs its error
	}
}
