package remotepipelines

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// pipeline is one pipeline of the running set. After the probation it has a keeper, a
// goroutine that restarts it when it fails.
type pipeline struct {
	recipe *recipe

	mu      sync.Mutex
	current *instance // nil while it is down
	down    error     // why it is down
	changed time.Time // when it went up or down

	halt   func()        // ends the keeper; nil without one
	halted chan struct{} // closed when the keeper has ended
}

func newPipeline(rec *recipe, inst *instance, down error) *pipeline {
	return &pipeline{recipe: rec, current: inst, down: down, changed: time.Now()}
}

func (p *pipeline) set(inst *instance, down error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current, p.down, p.changed = inst, down, time.Now()
}

func (p *pipeline) instance() *instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.current
}

// keep starts the keeper, which runs until release is called.
func (p *pipeline) keep(r *Runner) {
	ctx, cancel := context.WithCancel(context.Background())
	p.halt, p.halted = cancel, make(chan struct{})
	go func() {
		defer close(p.halted)
		p.keeper(ctx, r)
	}()
}

// release ends the keeper and returns the service, or nil if it is down or ctx ends
// while the keeper is starting or stopping it.
func (p *pipeline) release(ctx context.Context) *instance {
	if p.halt != nil {
		p.halt()
		select {
		case <-p.halted:
		case <-ctx.Done():
			return nil
		}
	}
	return p.instance()
}

// stableAfter is how long a pipeline must run for the pauses to start over.
const stableAfter = 10 * time.Minute

// keeper restarts the pipeline when it fails, until ctx ends.
func (p *pipeline) keeper(ctx context.Context, r *Runner) {
	logger := r.host.Logger.With(zap.String(PipelineKey, p.recipe.name))
	pause := newBackOff()
	for ctx.Err() == nil {
		inst := p.instance()
		if inst == nil {
			if !sleep(ctx, pause.NextBackOff()) {
				return
			}
			var err error
			if inst, err = r.launch(ctx, p.recipe); err != nil {
				if ctx.Err() == nil {
					p.set(nil, err)
					logger.Error("A remote pipeline is down and cannot be started; it is tried again", zap.Error(err))
				}
				continue
			}
			p.set(inst, nil)
			logger.Info("A remote pipeline that was down runs again")
		}
		select {
		case <-ctx.Done():
			return
		case <-inst.watcher.fatal:
		}
		err := inst.watcher.fatalError()
		p.set(nil, err)
		logger.Error("A component of a remote pipeline failed for good; the pipeline is restarted", zap.Error(err))
		if time.Since(inst.started) > stableAfter {
			pause.Reset()
		}
		draining, done := r.draining(ctx)
		if err := inst.stop(draining, r.drainTimeout); err != nil {
			logger.Warn("A remote pipeline did not stop cleanly", zap.Error(err))
		}
		done()
	}
}

// newBackOff returns the pauses before restarts, from a second up to a minute.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = time.Second, 2, time.Minute
	return b
}

// sleep waits for d. It returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// health returns the state of the pipeline and of its components.
func (p *pipeline) health() Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		h := Health{Status: "down", Changed: p.changed}
		if p.down != nil {
			h.Error = downReason(p.down)
		}
		return h
	}
	h := Health{Healthy: true, Status: statusOK, Since: p.current.started, Changed: p.changed, Parts: p.current.watcher.health()}
	if worst := p.current.watcher.worst(); worst != nil {
		h.Healthy, h.Status, h.Error, h.Changed = false, worst.status.String(), worst.reason(), worst.since
	}
	return h
}

// downReason returns why a pipeline is down, as the server may see it.
func downReason(err error) string {
	var of *componentError
	if errors.As(err, &of) && len(failuresIn(err)) == 0 {
		return of.reason()
	}
	return Reason(err)
}

// stopAll shuts services down, in parallel.
func (r *Runner) stopAll(ctx context.Context, instances []*instance) error {
	errs := make([]error, len(instances))
	var all sync.WaitGroup
	for i, inst := range instances {
		all.Go(func() { errs[i] = inst.stop(ctx, r.drainTimeout) })
	}
	all.Wait()
	return errors.Join(errs...)
}
