package remoteconfigextension

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// The last known good configuration passed its probation, but may end the process
// all the same: a panic on a goroutine of a component, out of memory. So its start
// is noted on disk until it has run for a while.
//
//	restore: noted ▶ Apply ▶ settled, graceful stop ──▶ no note
//	                 │ the process ends
//	                 ▼
//	         counted; maxCrashes in a row ──▶ held: the server is asked first
//	                                            │ holdTime without an offer
//	                                            ▼
//	                                          restore, counted from none
const (
	// maxCrashes is how often in a row the process may end soon after the start
	// of the last good configuration. A kill by hand counts as well, so it is more
	// than maxDeaths.
	maxCrashes = 3
	// holdTime is how long the last good configuration is not started then, so
	// that what was no fault of its own (a host short of memory) heals by itself.
	holdTime = 10 * time.Minute
	// minSettle is the least time that the last good configuration has to run for
	// its start to be forgotten.
	minSettle = time.Minute
	// firstPause is after the first time that the last known good configuration
	// does not start; it doubles up to maxPause.
	firstPause = time.Second
	maxPause   = time.Minute
)

// errCrashes is the reason of a last good configuration that is not started.
var errCrashes = fmt.Errorf("the collector ended %d times shortly after it started this configuration, so it is not started again for %d minutes; offer another one", maxCrashes, holdTime/time.Minute)

// settleTime is how long the last good configuration has to run for its start to
// be forgotten.
func settleTime(probation time.Duration) time.Duration { return max(probation, minSettle) }

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// hold leaves the last good configuration alone until the server had time to
// offer another one.
func (c *conductor) hold() {
	c.status.Failing(reasonLastGood, fmt.Errorf("the last known good configuration %q is not started: %w", c.lastGood.Hash, errCrashes))
	c.logger.Error("The last known good configuration is not started; the collector waits for the server", zap.String("hash", c.lastGood.Hash), zap.Error(errCrashes))
	c.telemetry.recordApplied(false)
	c.restoreTimer.Reset(holdTime)
}

// restore runs the last good configuration, without a probation. If it does not
// start it is tried again later.
func (c *conductor) restore(ctx context.Context) {
	if c.lastGoodState == lastGoodHeld {
		c.lastGoodState = lastGoodQuiet
		c.noteStorage(c.store.Start.End()) // counted from none
		c.logger.Info("The server offered nothing that works, so the last known good configuration is started again", zap.String("hash", c.lastGood.Hash))
	}
	c.noteStorage(c.noteStart())
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	err := c.runner.Apply(during, c.lastGood.Set, cancel)
	if ctx.Err() != nil {
		return
	}
	if err == nil || during.Err() != nil && errors.Is(err, context.Canceled) {
		c.settleTimer.Reset(c.settle)
		c.restorePause = 0
		c.status.Healthy(reasonLastGood)
		c.logger.Info("The last known good configuration runs", zap.String("hash", c.lastGood.Hash), zap.Strings("pipelines", c.lastGood.Set.Names()))
		c.decided(c.lastGood.Hash, remoteconf.StatusApplied, "")
		return
	}
	c.lastGoodState = lastGoodQuiet
	c.settleTimer.Stop()
	c.noteStorage(c.store.Start.Abandon())
	c.restorePause = min(max(firstPause, 2*c.restorePause), maxPause)
	c.restoreTimer.Reset(c.restorePause/2 + rand.N(c.restorePause/2))
	err = fmt.Errorf("the last known good configuration does not start: %w", err)
	if c.status.Failing(reasonLastGood, err) {
		c.logger.Error("The last known good configuration does not start; it is tried again", zap.String("hash", c.lastGood.Hash), zap.Error(err))
	}
	c.decided(c.lastGood.Hash, remoteconf.StatusFailed, reason(err))
}

// fallBack sees to it that the last good configuration runs after an offer
// failed.
func (c *conductor) fallBack(ctx context.Context) {
	switch {
	case c.lastGood == nil || c.lastGoodState == lastGoodHeld:
	case !c.runner.Running().Equal(c.lastGood.Set):
		c.restore(ctx) // the one before was not proven either
	case c.lastGoodState == lastGoodUnsettled:
		c.noteStorage(c.noteStart())
	}
}

// noteStart notes that the last good configuration is started, until it has
// settled. An empty one cannot do harm.
func (c *conductor) noteStart() error {
	c.lastGoodState = lastGoodUnsettled
	c.settleTimer.Reset(c.settle)
	if len(c.lastGood.Set) == 0 {
		return nil
	}
	return c.store.Start.Begin(c.lastGood.Hash)
}

// forgetStart takes the note back: the last good configuration has run for long
// enough, another one takes its place, or the collector is stopped.
func (c *conductor) forgetStart() error {
	c.lastGoodState = lastGoodQuiet
	c.settleTimer.Stop()
	return c.store.Start.End()
}
