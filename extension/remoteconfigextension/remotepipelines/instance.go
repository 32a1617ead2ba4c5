package remotepipelines

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/service"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines/labelledmetrics"
)

// instance is one service of a pipeline, from its making to its end. It is
// started at most once and stopped once.
type instance struct {
	name    string
	logger  *zap.Logger
	service *service.Service
	watcher *watcher
	sent    *tally
	meters  *labelledmetrics.Provider
	started time.Time

	fatal   chan error    // the service's AsyncErrorChannel, always read
	ended   chan struct{} // closed when nothing writes to fatal any more
	release func()        // ends the context that the components were started with
}

// errTooLate is the error of components that were told to end when they were up.
var errTooLate = ownWords("it started too late")

// launch makes and starts a service. When it returns an error, nothing of the
// service is left but what does not stop within the DrainTimeout.
func (r *Runner) launch(ctx context.Context, rec *recipe) (*instance, error) {
	inst := &instance{
		name:    rec.name,
		logger:  r.host.Logger.With(zap.String(PipelineKey, rec.name)),
		watcher: newWatcher(),
		sent:    newTally(),
		fatal:   make(chan error),
		ended:   make(chan struct{}),
	}
	inst.meters = metersFor(r.host, rec.name, inst.sent)
	limited, cancel := context.WithTimeoutCause(ctx, r.startTimeout, ownWords("the start takes longer than %v", r.startTimeout))
	defer cancel()
	// What components are started with lives as long as they do; some keep it.
	alive, release := context.WithCancel(context.Background())
	inst.release = release
	if err := inst.make(limited, r, rec); err != nil {
		release()
		_ = inst.meters.Shutdown(ctx) // that of a panic is not shut down by the service
		failure := fail(rec.name, StageStart, err)
		if failure.Key == "" {
			failure.Key = inst.sent.lastMade()
		}
		return nil, failure
	}
	go inst.drainFatal()
	undo := context.AfterFunc(limited, release)
	inst.started = time.Now()
	err := call(limited, func() error { return inst.service.Start(alive) }, func(error) {
		_ = inst.end(context.Background())
	})
	if !undo() && err == nil {
		err = errTooLate
	}
	if limited.Err() != nil && !errors.Is(err, errStuck) {
		err = errors.Join(context.Cause(limited), err)
	}
	if err == nil {
		return inst, nil
	}
	failure := fail(rec.name, StageStart, err)
	if worst := inst.watcher.worst(); worst != nil && failure.Key == "" {
		failure.Key = worst.key()
	}
	var p *panicError
	if errors.As(err, &p) {
		if failure.Key == "" {
			failure.Key = inst.watcher.starting()
		}
		inst.logger.Error("A component panicked at its start", zap.Error(failure), zap.ByteString("stack", p.stack))
	}
	if errors.Is(err, errStuck) {
		if failure.Key == "" {
			failure.Key = inst.watcher.starting()
		}
		return nil, failure // end comes when Start returns
	}
	draining, done := r.draining(ctx)
	defer done()
	if err := inst.stop(draining, r.drainTimeout); err != nil {
		inst.logger.Debug("Components that were not all started did not stop cleanly", zap.Error(err))
	}
	return nil, failure
}

// make makes the service, which was made in the dry run before.
func (i *instance) make(ctx context.Context, r *Runner, rec *recipe) error {
	made := make(chan *service.Service, 1)
	err := call(ctx, func() error {
		s, err := rec.make(r, telemetryFor(r.host, rec.name, i.sent, i.meters), i.watcher, i.fatal)
		made <- s
		return err
	}, func(err error) {
		if err == nil {
			_ = guard(func() error { return (<-made).Shutdown(context.Background()) })
		}
	})
	if err == nil {
		i.service = <-made
	}
	return err
}

// drainFatal reads the fatal errors, which the watcher has seen already, until
// the service has ended: the service waits for its reader.
func (i *instance) drainFatal() {
	for {
		select {
		case <-i.fatal:
		case <-i.ended:
			return
		}
	}
}

// stop shuts the service down, within timeout and as long as ctx lasts. What
// does not stop by then is left to end later, if ever.
func (i *instance) stop(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ownWords("the shutdown takes longer than %v", timeout))
	defer cancel()
	err := call(ctx, func() error { return i.end(ctx) }, func(err error) {
		i.logger.Info("A remote pipeline that did not stop in time has stopped", zap.Error(err))
	})
	if errors.Is(err, errStuck) {
		i.release()
	}
	return err
}

// end shuts the service down and releases all that belongs to it.
func (i *instance) end(ctx context.Context) error {
	defer close(i.ended)
	defer i.release()
	err := guard(func() error { return i.service.Shutdown(ctx) })
	return errors.Join(err, i.meters.Shutdown(ctx)) // again, for a panic ends the first before its turn
}

// fatalError returns what ended the pipeline, nil if nothing did.
func (i *instance) fatalError() error {
	i.watcher.mu.Lock()
	defer i.watcher.mu.Unlock()
	if i.watcher.fatalErr == nil {
		return nil
	}
	return i.watcher.fatalErr
}

// starting returns the key of the component that is being started, or "".
func (w *watcher) starting() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, s := range w.states {
		if s.event.Status() == componentstatus.StatusStarting {
			return errorOf(id, s).key()
		}
	}
	return ""
}
