package remotepipelines

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines/labelledmetrics"
	"github.com/invar-otel/invar/internal/guardedservice"
)

// instance is one service of a pipeline. It is started at most once and stopped
// once.
type instance struct {
	name    string
	logger  *zap.Logger
	service *guardedservice.Service
	watcher *watcher
	sent    *tally
	meters  *labelledmetrics.Provider
	started time.Time
}

// launch makes and starts a service. If it returns an error, nothing of the
// service is left except what does not stop within the DrainTimeout.
func (r *Runner) launch(ctx context.Context, rec *recipe) (*instance, error) {
	inst := &instance{
		name:    rec.name,
		logger:  r.host.Logger.With(zap.String(PipelineKey, rec.name)),
		watcher: newWatcher(),
		sent:    newTally(),
	}
	inst.meters = metersFor(r.host, rec.name, inst.sent)
	limited, cancel := context.WithTimeoutCause(ctx, r.startTimeout, ownWords("the start takes longer than %v", r.startTimeout))
	defer cancel()
	if err := inst.make(limited, r, rec); err != nil {
		_ = inst.meters.Shutdown(ctx) // New does not if it is stuck
		return nil, fail(rec.name, StageStart, err, inst.sent.lastMade)
	}
	inst.started = time.Now()
	// Some components use the context of their Start for as long as they run.
	err := inst.service.StartWithin(context.Background(), limited)
	if err == nil {
		return inst, nil
	}
	stuck := errors.Is(err, guardedservice.ErrStuck)
	if limited.Err() != nil && !stuck {
		err = errors.Join(context.Cause(limited), err)
	}
	failure := inst.startFailure(err)
	if stuck {
		return nil, failure // StartWithin shuts it down later
	}
	draining, done := r.draining(ctx)
	defer done()
	if err := inst.stop(draining, r.drainTimeout); err != nil {
		inst.logger.Debug("Components that were not all started did not stop cleanly", zap.Error(err))
	}
	return nil, failure
}

// make makes the service.
func (i *instance) make(ctx context.Context, r *Runner, rec *recipe) error {
	var err error
	i.service, err = guardedservice.CallValue(ctx, func() (*guardedservice.Service, error) {
		set, cfg, err := rec.settings(r, i.watcher)
		if err != nil {
			return nil, err
		}
		set.TelemetryFactory = telemetryFor(r.host, rec.name, i.sent, i.meters)
		// The components get a context without values: those of the extension's
		// context are not for them.
		made, err := guardedservice.New(context.Background(), set, cfg)
		return made, rec.secrets.Error(err)
	}, func(made *guardedservice.Service, err error) {
		if err == nil {
			_ = made.Shutdown(context.Background())
		}
	})
	return err
}

// startFailure returns the Failure for an error of the start. If the error does not
// name the component, the status of the components does.
func (i *instance) startFailure(err error) *Failure {
	var panicked *guardedservice.PanicError
	isPanic := errors.As(err, &panicked)
	failure := fail(i.name, StageStart, err, func() string {
		if worst := i.watcher.worst(); worst != nil {
			return worst.key()
		}
		if isPanic || errors.Is(err, guardedservice.ErrStuck) {
			return i.watcher.starting()
		}
		return ""
	})
	if isPanic {
		i.logger.Error("A component panicked at its start", zap.Error(failure), zap.ByteString("stack", panicked.Stack))
	}
	return failure
}

// stop shuts the service down. It gives up after timeout or at the end of ctx; the
// service may then stop later, or never.
func (i *instance) stop(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ownWords("the shutdown takes longer than %v", timeout))
	defer cancel()
	return i.service.ShutdownWithin(ctx, func(err error) {
		i.logger.Info("A remote pipeline that did not stop in time has stopped", zap.Error(err))
	})
}
