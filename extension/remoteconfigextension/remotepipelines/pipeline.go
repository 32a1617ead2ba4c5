package remotepipelines

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"
)

// pipeline is one pipeline of the running set: what should run, what does, and
// who sees to it. After the probation its keeper restarts it when it fails.
type pipeline struct {
	recipe *recipe

	mu      sync.Mutex
	current *instance // nil while it is down
	down    error     // why, if it is
	changed time.Time // when it went up or down

	halt func()        // ends the keeper; nil if there is none
	gone chan struct{} // closed when the keeper has ended
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

// keep begins to keep the pipeline running, until release is called.
func (p *pipeline) keep(r *Runner) {
	ctx, cancel := context.WithCancel(context.Background())
	p.halt, p.gone = cancel, make(chan struct{})
	go func() {
		defer close(p.gone)
		p.keeper(ctx, r)
	}()
}

// release ends the keeper and returns the service, nil if it is down. It waits
// for a start or stop that is under way as long as ctx lasts.
func (p *pipeline) release(ctx context.Context) *instance {
	if p.halt != nil {
		p.halt()
		select {
		case <-p.gone:
		case <-ctx.Done():
			return nil
		}
	}
	return p.instance()
}

// stableAfter is how long a pipeline runs until its next restart is one at once.
const stableAfter = 10 * time.Minute

// keeper restarts the pipeline whenever it is down.
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

// newBackOff is the pause before a restart: a second, up to a minute.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = time.Second, 2, time.Minute
	return b
}

// sleep waits and reports true, or false if ctx ended.
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

// health returns the pipeline's state and its components'.
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

// downReason is what the server may be told of why a pipeline is down.
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
