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

// The last known good configuration has passed its probation, but may still end the
// process: with a panic on a goroutine of a component, or by running out of memory. Its
// start is therefore noted on disk until it has run for a while.
//
//	restore: note ▶ Apply ▶ settled, or graceful stop ──▶ note removed
//	                │ the process ends
//	                ▼
//	         a crash is counted; maxCrashes in a row ──▶ held: wait for the server
//	                                                      │ holdTime without an offer
//	                                                      ▼
//	                                                     restore, the count is reset
const (
	// maxCrashes is how often in a row the process may end soon after the start of
	// the last good configuration. It is more than maxDeaths, because a kill by hand
	// counts too.
	maxCrashes = 3
	// holdTime is how long the last good configuration is held then. After that it
	// is tried again, because the cause may be temporary, such as a host that was
	// short of memory.
	holdTime = 10 * time.Minute
	// minSettle is the least time after which the note about a start is removed.
	minSettle = time.Minute
	// firstPause follows the first failed start of the last known good
	// configuration. It doubles up to maxPause.
	firstPause = time.Second
	maxPause   = time.Minute
)

// errCrashes is the reason why the last good configuration is held.
var errCrashes = fmt.Errorf("the collector ended %d times shortly after it started this configuration, so it is not started again for %d minutes; offer another one", maxCrashes, holdTime/time.Minute)

// settleTime returns how long the last good configuration must run before the note
// about its start is removed.
func settleTime(probation time.Duration) time.Duration { return max(probation, minSettle) }

func stoppedTimer() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

// hold waits holdTime for an offer of the server before the last good configuration is
// started.
func (c *conductor) hold() {
	c.status.Failing(reasonLastGood, fmt.Errorf("the last known good configuration %q is not started: %w", c.lastGood.Hash, errCrashes))
	c.logger.Error("The last known good configuration is not started; the collector waits for the server", zap.String("hash", c.lastGood.Hash), zap.Error(errCrashes))
	c.telemetry.recordApplied(false)
	c.restoreTimer.Reset(holdTime)
}

// restore starts the last good configuration, without a probation. If it does not
// start, a timer is set to try again.
func (c *conductor) restore(ctx context.Context) {
	if c.lastGoodState == lastGoodHeld {
		c.lastGoodState = lastGoodQuiet
		c.noteStorage(c.store.Start.End()) // resets the count
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

// fallBack makes sure that the last good configuration runs after an offer has failed.
func (c *conductor) fallBack(ctx context.Context) {
	switch {
	case c.lastGood == nil || c.lastGoodState == lastGoodHeld:
	case !c.runner.Running().Equal(c.lastGood.Set):
		c.restore(ctx) // what runs was not proven
	case c.lastGoodState == lastGoodUnsettled:
		c.noteStorage(c.noteStart())
	}
}

// noteStart notes on disk that the last good configuration starts, unless it is empty,
// which can do no harm.
func (c *conductor) noteStart() error {
	c.lastGoodState = lastGoodUnsettled
	c.settleTimer.Reset(c.settle)
	if len(c.lastGood.Set) == 0 {
		return nil
	}
	return c.store.Start.Begin(c.lastGood.Hash)
}

// forgetStart removes the note: the last good configuration has settled, another one
// replaces it, or the collector stops.
func (c *conductor) forgetStart() error {
	c.lastGoodState = lastGoodQuiet
	c.settleTimer.Stop()
	return c.store.Start.End()
}
