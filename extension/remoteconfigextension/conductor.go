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
	// maxDeaths is how often the process may end during trials of a configuration
	// before it is not tried again.
	maxDeaths = 2
	// healthInterval is the time between two looks at the health of the pipelines.
	healthInterval = 5 * time.Second
	// maxReason bounds the reported reason of a failure, in bytes.
	maxReason = 16 << 10
	// maxLogged bounds the error in the log, in bytes.
	maxLogged = 64 << 10
)

// Reasons for an error in the component's status.
const (
	reasonServer        healthstatus.Reason = "server"
	reasonConfiguration healthstatus.Reason = "configuration"
	reasonLastGood      healthstatus.Reason = "last good"
	reasonStorage       healthstatus.Reason = "storage"
)

// errDeaths is the reason why a configuration is not tried again.
var errDeaths = errors.New("the collector ended twice while it was tried, so it is not tried again; offer another one")

// runner is the part of remotepipelines.Runner that the conductor uses.
type runner interface {
	Apply(ctx context.Context, want remoteconf.Set, started func()) error
	Running() remoteconf.Set
	Effective() map[string][]byte
	Health() remotepipelines.Health
}

// conductor decides which configuration runs. Offers arrive on the transport's
// goroutine and wait for run; a newer offer replaces one that still waits.
//
//	last good ──▶ started, or held if it ended the process (see restore.go)
//	offer ──▶ trial: noted on disk ▶ Apply ▶ applied: it becomes the last good one
//	                                       ▶ failed: the Runner restores what ran
//	                                       ▶ superseded: a newer offer ends its
//	                                         probation early; if that one fails,
//	                                         the last good one is restored
type conductor struct {
	runner    runner
	store     *lastgood.Store
	rules     string           // the restrictions, kept with the last good configuration
	settle    time.Duration    // see settleTime
	lastGood  *lastgood.Record // nil if there is none
	report    func(transport.Report)
	logger    *zap.Logger
	telemetry *telemetry
	status    *healthstatus.Reporter

	offers chan struct{} // readable while an offer waits

	mu           sync.Mutex
	reported     transport.Report // what the server was told last
	local        []byte           // the local configuration to report; nil for none
	hasOffer     bool             // reported.Hash is that of an offer
	waiting      *transport.Offer // the offer to try next; nil if there is none
	endProbation func()           // ends the probation under way; nil if there is none

	// The rest belongs to the goroutine of run.

	lastGoodState lastGoodState
	restoreTimer  *time.Timer   // to start the last good configuration
	restorePause  time.Duration // before the next attempt
	settleTimer   *time.Timer   // until the last good configuration has settled
}

// lastGoodState is the state of the last good configuration in this process.
type lastGoodState int

const (
	// lastGoodQuiet: it has settled, or has not started.
	lastGoodQuiet lastGoodState = iota
	// lastGoodUnsettled: it has started, and has not run for long. A note on disk
	// says so.
	lastGoodUnsettled
	// lastGoodHeld: it ended the process several times. It is not started until the
	// server has had time to offer another configuration.
	lastGoodHeld
)

// begin makes the first report, before anything runs. It must be called before run.
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

// setLocal adds the local configuration to the reports.
func (c *conductor) setLocal(config []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = config
	c.reported.Effective = c.effective(nil)
	c.report(c.reported)
}

// effective adds the local configuration to the remote ones. The caller holds mu.
func (c *conductor) effective(remote map[string][]byte) map[string][]byte {
	all := make(map[string][]byte, len(remote)+1)
	maps.Copy(all, remote)
	if c.local != nil {
		all[transport.LocalConfig] = c.local
	}
	return all
}

// offered queues an offer of the server for run.
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
	default: // an older offer has not been read yet
	}
}

// takeOffer returns the waiting offer and clears it. It returns nil if none waits.
func (c *conductor) takeOffer() *transport.Offer {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.waiting
	c.waiting = nil
	return o
}

// run starts the last good configuration, and then handles offers until ctx ends.
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
		c.restore(ctx) // before any offer, which may have to fall back to it
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
			c.reportHealth()
		}
	}
}

// try applies an offer and reports the outcome.
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
		began = errors.Join(began, c.store.Start.Abandon()) // a death counts for the trial from here on
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

// apply applies a set. It reports whether a newer offer ended its probation early; the
// set then runs, but is not proven.
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

// accepted makes a proven set the last good configuration.
func (c *conductor) accepted(o *transport.Offer) {
	same := c.lastGoodState == lastGoodUnsettled && c.lastGood.Set.Equal(o.Set) // it was running, so there was no probation
	c.lastGood = &lastgood.Record{Hash: o.Hash, Set: o.Set, Rules: c.rules, Accepted: time.Now()}
	// In this order: if the process ends in between, the next one finds a trial of
	// the last good configuration, which lastgood ignores.
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

// failed reports that an offer cannot be used.
func (c *conductor) failed(o *transport.Offer, err error) {
	c.telemetry.recordOutcome(resultFailed)
	c.logger.Error("The configuration of the server is not used; what ran before runs on",
		zap.String("hash", o.Hash), zap.String("error", shortened(err.Error(), maxLogged)))
	c.status.Healthy(reasonConfiguration) // clears the previous reason
	c.status.Failing(reasonConfiguration, fmt.Errorf("the configuration %q of the server is not used: %w", o.Hash, err))
	c.decided(o.Hash, remoteconf.StatusFailed, reason(err))
	if c.lastGoodState == lastGoodHeld {
		c.restoreTimer.Reset(holdTime)
	}
}

// decided reports what runs. If hash is still that of the newest offer, it also reports
// the outcome.
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

// reportHealth reports the health of the pipelines if it has changed, and what runs,
// which may have changed too.
func (c *conductor) reportHealth() {
	remote, health := c.runner.Effective(), c.runner.Health()
	c.mu.Lock()
	defer c.mu.Unlock()
	if reflect.DeepEqual(health, c.reported.Health) {
		return
	}
	c.reported.Effective, c.reported.Health = c.effective(remote), health
	c.report(c.reported)
}

// noteStorage reports the outcome of writing to the directory. The pipelines run
// without it; only a restart needs what is in it.
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

// reason returns the text of an error for the server, shortened.
func reason(err error) string {
	return shortened(remotepipelines.Reason(err), maxReason)
}

// shortened returns at most limit bytes of text, and an ellipsis if that is not all.
func shortened(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	for !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit] + "…"
}
