package remoteconfigextension

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/lastgood"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/remoteconf"
)

const (
	// maxDeaths is how often the process may end while a configuration is tried
	// before it is tried no more.
	maxDeaths = 2
	// healthInterval is how often the pipelines' health is looked at.
	healthInterval = 5 * time.Second
	// maxReason bounds the reason of a failure as reported, in bytes.
	maxReason = 16 << 10
	// maxLogged bounds the same in the log, which has the whole of each error.
	maxLogged = 64 << 10
)

// What can be wrong, for the component's status.
const (
	reasonServer        healthstatus.Reason = "server"
	reasonConfiguration healthstatus.Reason = "configuration"
	reasonLastGood      healthstatus.Reason = "last good"
	reasonStorage       healthstatus.Reason = "storage"
)

// errDeaths is the reason of a configuration that is not tried any more.
var errDeaths = errors.New("the collector ended twice while it was tried, so it is not tried again; offer another one")

// runner is what the conductor needs of remotepipelines.Runner.
type runner interface {
	Apply(ctx context.Context, want remoteconf.Set, started func()) error
	Running() remoteconf.Set
	Effective() map[string][]byte
	Health() remotepipelines.Health
}

// conductor decides what runs. Offers come on the transport's goroutine and wait
// for run; the newest replaces one that still waits.
//
//	last good ──▶ runs, or is held back if it ended the process (see restore.go)
//	offer ──▶ trial: noted on disk ▶ Apply ▶ applied: it is the last good now
//	                                       ▶ failed: the Runner runs what ran before
//	                                       ▶ superseded: a newer offer cuts its
//	                                         probation short; if that one fails,
//	                                         the last good runs again
type conductor struct {
	runner    runner
	store     *lastgood.Store
	rules     string           // the restrictions, for the record
	settle    time.Duration    // see settleTime
	lastGood  *lastgood.Record // nil if there is none
	report    func(transport.Report)
	logger    *zap.Logger
	telemetry *telemetry
	status    *healthstatus.Reporter

	offers chan struct{} // has a value if an offer waits

	mu           sync.Mutex
	reported     transport.Report // what the server was told last
	local        []byte           // the local configuration, to be reported beside what runs
	hasOffer     bool             // reported.Hash is that of an offer
	waiting      *transport.Offer // not tried yet; nil if there is none
	endProbation func()           // ends the probation under way; nil if there is none

	// The following belong to run.

	lastGoodState lastGoodState
	restoreTimer  *time.Timer   // to start the last good configuration
	restorePause  time.Duration // before the next attempt
	settleTimer   *time.Timer   // until the last good configuration has settled
}

// lastGoodState is what is known of the last good configuration in this process.
type lastGoodState int

const (
	// lastGoodQuiet is: it has settled, or it is to be started.
	lastGoodQuiet lastGoodState = iota
	// lastGoodUnsettled is: it was started, which is noted on disk until it has run
	// for a while.
	lastGoodUnsettled
	// lastGoodHeld is: it ended the process several times, and is not started before
	// the server had time to offer another one.
	lastGoodHeld
)

// begin reports what is known before anything runs. It comes before run.
func (c *conductor) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastGood != nil {
		c.hasOffer = true
		c.reported.Hash, c.reported.Status = c.lastGood.Hash, remoteconf.StatusApplying
		if c.store.Start.Deaths(c.lastGood.Hash) >= maxCrashes {
			c.lastGoodState = lastGoodHeld
			c.reported.Status, c.reported.Error = remoteconf.StatusFailed, errCrashes.Error()
		}
	}
	c.reported.Health = transport.Health{Healthy: true, Status: "StatusStarting"}
	c.report(c.reported)
}

// setLocal makes the local configuration a part of what is reported.
func (c *conductor) setLocal(config []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = config
	c.reported.Effective = c.effective(nil)
	c.report(c.reported)
}

// effective adds the local configuration to the remote ones. c.mu is held.
func (c *conductor) effective(remote map[string][]byte) map[string][]byte {
	all := make(map[string][]byte, len(remote)+1)
	maps.Copy(all, remote)
	if c.local != nil {
		all[transport.LocalConfig] = c.local
	}
	return all
}

// offered takes what the server offers.
func (c *conductor) offered(o transport.Offer) {
	c.mu.Lock()
	if c.hasOffer && o.Hash == c.reported.Hash {
		c.mu.Unlock()
		return
	}
	c.hasOffer, c.waiting = true, &o
	c.reported.Hash, c.reported.Status, c.reported.Error = o.Hash, remoteconf.StatusApplying, ""
	c.report(c.reported)
	if c.endProbation != nil {
		c.endProbation()
	}
	c.mu.Unlock()
	c.logger.Info("The server offers a configuration", zap.String("hash", o.Hash), zap.Strings("pipelines", o.Set.Names()))
	select {
	case c.offers <- struct{}{}:
	default: // the one before was not taken yet
	}
}

// takeOffer returns the offer that waits, nil if there is none.
func (c *conductor) takeOffer() *transport.Offer {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.waiting
	c.waiting = nil
	return o
}

// run starts the last good configuration, and then follows the server until ctx
// ends.
func (c *conductor) run(ctx context.Context) {
	c.restoreTimer, c.settleTimer = stoppedTimer(), stoppedTimer()
	defer c.restoreTimer.Stop()
	defer c.settleTimer.Stop()
	health := time.NewTicker(healthInterval)
	defer health.Stop()
	switch {
	case c.lastGoodState == lastGoodHeld:
		c.hold()
	case c.lastGood != nil:
		c.restore(ctx) // before any offer, as it is what a failed one falls back to
	}
	for {
		select {
		case <-ctx.Done():
			if c.lastGoodState == lastGoodUnsettled {
				c.noteStorage(c.forgetStart())
			}
			return
		case <-c.offers:
			if o := c.takeOffer(); o != nil {
				c.try(ctx, o)
			}
		case <-c.restoreTimer.C:
			c.restore(ctx)
		case <-c.settleTimer.C:
			c.noteStorage(c.forgetStart())
		case <-health.C:
			c.tellHealth()
		}
	}
}

// try runs what the server offers and tells what became of it.
func (c *conductor) try(ctx context.Context, o *transport.Offer) {
	err := o.Err
	switch {
	case err != nil:
	case c.lastGoodState == lastGoodHeld && o.Hash == c.lastGood.Hash:
		err = errCrashes
	case c.store.Trial.Deaths(o.Hash) >= maxDeaths:
		err = errDeaths
	}
	if err != nil {
		c.failed(o, err)
		return
	}
	c.restoreTimer.Stop()
	c.settleTimer.Stop()
	began := c.store.Trial.Begin(o.Hash)
	if c.lastGoodState == lastGoodUnsettled {
		began = errors.Join(began, c.store.Start.Abandon()) // from here on it is the trial that a death counts for
	}
	c.noteStorage(began)
	superseded, err := c.apply(ctx, o.Set)
	if ctx.Err() != nil {
		c.noteStorage(c.store.Trial.Abandon())
		return
	}
	if err != nil {
		c.noteStorage(c.store.Trial.End())
	}
	switch {
	case superseded:
		c.telemetry.recordOutcome(resultSuperseded)
		c.logger.Info("A newer configuration takes the place of one whose probation was under way", zap.String("hash", o.Hash))
	case err != nil:
		c.failed(o, err)
		c.fallBack(ctx)
	default:
		c.accepted(o)
	}
}

// apply runs a set, and tells whether a newer offer cut its probation short: it
// runs then, but is not proven.
func (c *conductor) apply(ctx context.Context, set remoteconf.Set) (superseded bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = c.runner.Apply(ctx, set, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.endProbation = cancel
		if c.waiting != nil {
			cancel()
		}
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endProbation = nil
	return ctx.Err() != nil && errors.Is(err, context.Canceled), err
}

// accepted makes a set that was proven the last good one.
func (c *conductor) accepted(o *transport.Offer) {
	same := c.lastGoodState == lastGoodUnsettled && c.lastGood.Set.Equal(o.Set) // it ran already, so there was no probation
	c.lastGood = &lastgood.Record{Hash: o.Hash, Set: o.Set, Rules: c.rules, Accepted: time.Now()}
	// In this order: a process that ends in between finds a trial of what is
	// known to work, which lastgood does not count.
	kept := errors.Join(c.store.SetLastGood(c.lastGood), c.store.Trial.End())
	if same {
		kept = errors.Join(kept, c.noteStart())
	} else {
		kept = errors.Join(kept, c.forgetStart())
	}
	c.noteStorage(kept)
	c.restorePause = 0
	c.status.Healthy(reasonLastGood)
	c.status.Healthy(reasonConfiguration)
	c.telemetry.recordOutcome(resultApplied)
	c.logger.Info("The configuration of the server runs", zap.String("hash", o.Hash), zap.Strings("pipelines", o.Set.Names()))
	c.decided(o.Hash, remoteconf.StatusApplied, "")
}

func (c *conductor) failed(o *transport.Offer, err error) {
	c.telemetry.recordOutcome(resultFailed)
	c.logger.Error("The configuration of the server is not used; what ran before runs on",
		zap.String("hash", o.Hash), zap.String("error", shortened(err.Error(), maxLogged)))
	c.status.Healthy(reasonConfiguration) // so that the new reason is told
	c.status.Failing(reasonConfiguration, fmt.Errorf("the configuration %q of the server is not used: %w", o.Hash, err))
	c.decided(o.Hash, remoteconf.StatusFailed, reason(err))
	if c.lastGoodState == lastGoodHeld {
		c.restoreTimer.Reset(holdTime)
	}
}

// decided reports what runs, and the outcome if hash is still that of the newest
// offer.
func (c *conductor) decided(hash string, status remoteconf.Status, reason string) {
	remote, health := c.runner.Effective(), c.runner.Health()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reported.Hash == hash && c.waiting == nil {
		c.reported.Status, c.reported.Error = status, reason
		c.telemetry.recordApplied(status == remoteconf.StatusApplied)
	}
	c.reported.Effective, c.reported.Health = c.effective(remote), health
	c.report(c.reported)
}

// tellHealth reports the pipelines' health if it changed, and what runs, which
// may have changed with it.
func (c *conductor) tellHealth() {
	remote, health := c.runner.Effective(), c.runner.Health()
	c.mu.Lock()
	defer c.mu.Unlock()
	if reflect.DeepEqual(health, c.reported.Health) {
		return
	}
	c.reported.Effective, c.reported.Health = c.effective(remote), health
	c.report(c.reported)
}

// noteStorage tells of a directory that cannot be written. The pipelines run
// without it; only a restart misses what was to be kept.
func (c *conductor) noteStorage(err error) {
	if err == nil {
		c.status.Healthy(reasonStorage)
		return
	}
	err = fmt.Errorf("storage_directory: what a restart needs cannot be kept: %w", err)
	if c.status.Failing(reasonStorage, err) {
		c.logger.Error("The state cannot be kept; after a restart an older configuration may run until the server answers", zap.Error(err))
	}
}

// reason is what the server is told of an error, shortened.
func reason(err error) string {
	return shortened(remotepipelines.Reason(err), maxReason)
}

// shortened returns a text of at most most bytes, and a sign that there was more.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
