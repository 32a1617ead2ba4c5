// Package remotepipelines runs the pipelines that a server configures, each in its
// own collector service inside this process.
//
//	remoteconf.Set
//	   │ read: size ▶ restrictions ▶ ${…} ▶ decode ▶ validate     what runs is not
//	   │ dryRun: make the components, with no telemetry           touched up to here
//	   ▼
//	switchover: start the new services beside the old ones (where both need the
//	   │        same thing, stop the old one first), then stop the old ones
//	   ▼
//	probation: components' status, what exporters deliver
//	   │                        │
//	   ▼ passed                 ▼ failed
//	keep: each pipeline gets    start the previous services again,
//	a keeper that restarts it   return the *Failure
//
// Pipelines that a new set does not change are not touched. A service has the host's
// component factories and telemetry. Its fatal errors restart only itself and never
// stop the process. Two things cannot be contained: a panic on a goroutine that a
// component started, and memory.
package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/internal/guardedservice"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Rules restricts what a configuration may use. *confinement.Rules implements it.
type Rules interface {
	CheckRaw(raw map[string]any) error
	CheckResolved(resolved map[string]any, components confinement.Components) error
	ProviderFactories() []confmap.ProviderFactory
	// New returns the listening addresses that are in now, not in before, and not
	// permitted.
	New(before, now confinement.Listeners) []string
}

// Settings is what a Runner needs.
type Settings struct {
	// Host implements hostcapabilities.ComponentFactory, and should implement
	// hostcapabilities.ModuleInfo.
	Host component.Host
	// Telemetry is that of the extension.
	Telemetry component.TelemetrySettings
	BuildInfo component.BuildInfo
	Rules     Rules
	// Probation is how long new pipelines are watched before they are kept; 0 turns
	// it off. It takes up to twice as long if a component reports an error towards
	// the end, and up to a minute longer while an exporter that has delivered
	// nothing waits for its first answer.
	Probation time.Duration
	// MaxErrorRatio is the share of an exporter's items that, if lost during the
	// probation of a changed pipeline, rolls the set back. With 0 a single item
	// does, with 1 or more none does.
	MaxErrorRatio float64
	// DrainTimeout bounds the shutdown of one service; 0 is 30 s.
	DrainTimeout time.Duration
	// StartTimeout bounds the start of one service; 0 is a minute.
	StartTimeout time.Duration
}

// ErrShutdown is returned by Apply after Shutdown.
var ErrShutdown = errors.New("the remote pipelines are shut down")

// Runner runs a set of pipelines. It is safe for concurrent use.
type Runner struct {
	set          Settings
	host         component.TelemetrySettings // set.Telemetry without the extension's attributes
	metrics      *ownMetrics
	drainTimeout time.Duration
	startTimeout time.Duration
	listeners    func() (confinement.Listeners, error)

	turn chan struct{} // a semaphore: its holder may change pipelines

	mu        sync.Mutex
	pipelines map[string]*pipeline    // the running set; replaced, never modified
	interrupt context.CancelCauseFunc // of the Apply under way, or nil
	closed    bool

	ending context.Context //nolint:containedctx // ends when Shutdown gives up
	end    context.CancelCauseFunc
}

// New returns a Runner without pipelines. It registers metrics with set.Telemetry,
// which Shutdown unregisters.
func New(set Settings) *Runner {
	set.Telemetry = complete(set.Telemetry)
	r := &Runner{
		set:          set,
		host:         ownTelemetry(set.Telemetry),
		drainTimeout: set.DrainTimeout,
		startTimeout: set.StartTimeout,
		listeners:    confinement.ListenersNow,
		turn:         make(chan struct{}, 1),
		pipelines:    make(map[string]*pipeline),
	}
	if r.drainTimeout <= 0 {
		r.drainTimeout = 30 * time.Second
	}
	if r.startTimeout <= 0 {
		r.startTimeout = time.Minute
	}
	r.ending, r.end = context.WithCancelCause(context.Background())
	r.metrics = newOwnMetrics(set.Telemetry, r.countRunning)
	return r
}

// Running returns the set that runs, including pipelines that are down, which Health
// reports.
func (r *Runner) Running() remoteconf.Set {
	set := make(remoteconf.Set)
	for name, p := range r.snapshot() {
		set[name] = p.recipe.body
	}
	return set
}

// Effective returns the running configurations by pipeline, as YAML with all defaults
// and with secrets redacted. The caller must not modify them.
func (r *Runner) Effective() map[string][]byte {
	all := make(map[string][]byte)
	for name, p := range r.snapshot() {
		all[name] = p.recipe.yaml
	}
	return all
}

func (r *Runner) countRunning() (n int64) {
	for _, p := range r.snapshot() {
		if p.instance() != nil {
			n++
		}
	}
	return n
}

func (r *Runner) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

func (r *Runner) snapshot() map[string]*pipeline {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pipelines
}

func (r *Runner) replace(pipelines map[string]*pipeline) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pipelines = pipelines
}

// begin waits for the turn to change pipelines. The returned context ends with ctx or
// with Shutdown; done gives the turn back.
func (r *Runner) begin(ctx context.Context) (during context.Context, done func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	during, cancel := context.WithCancelCause(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		cancel(nil)
		<-r.turn
		return nil, nil, ErrShutdown
	}
	r.interrupt = cancel
	return during, func() {
		r.mu.Lock()
		r.interrupt = nil
		r.mu.Unlock()
		cancel(nil)
		<-r.turn
	}, nil
}

// draining returns a context for stopping pipelines. It does not end with ctx, only
// when Shutdown gives up.
func (r *Runner) draining(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(r.ending, func() { cancel(context.Cause(r.ending)) })
	return ctx, func() {
		unlink()
		cancel(nil)
	}
}

// Shutdown interrupts an Apply, stops all pipelines in parallel, and waits for them.
// It gives up at the end of ctx, or a few seconds after DrainTimeout, whatever
// components do; pipelines may then stop later, or never. Only the first call does
// anything.
func (r *Runner) Shutdown(ctx context.Context) error {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	if r.interrupt != nil {
		r.interrupt(ErrShutdown)
	}
	r.mu.Unlock()
	if !first {
		return nil
	}
	errLate := fmt.Errorf("the shutdown takes longer than %v", r.drainTimeout)
	limit := time.AfterFunc(r.drainTimeout, func() { r.end(errLate) })
	defer limit.Stop()
	unlink := context.AfterFunc(ctx, func() { r.end(context.Cause(ctx)) })
	defer unlink()
	// An interrupted Apply gives its turn back when it has stopped what it started,
	// or has given up waiting for that.
	last := time.NewTimer(r.drainTimeout + 5*guardedservice.Grace)
	defer last.Stop()
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-last.C:
		return fmt.Errorf("a set of pipelines is still being applied: %w", errLate)
	}
	defer func() { <-r.turn }()
	all := r.snapshot()
	r.replace(make(map[string]*pipeline))
	draining, cancel := r.draining(ctx)
	defer cancel()
	err := r.stopAll(draining, r.releaseAll(draining, maps.Values(all)))
	return errors.Join(err, r.metrics.shutdown())
}
