package remotepipelines

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/guardedservice"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Apply makes want the running set, as a whole or not at all, and returns after the
// probation. started, which may be nil, is called when the new pipelines run and the
// old ones have stopped, but not if nothing changed.
//
// An error is a *Failure or joins several. The previous set then runs again, or is
// being restarted, which Health reports. If ctx ends before the new pipelines have
// started, the previous set runs; if it ends later, want does. Both return ctx.Err().
// Concurrent calls wait for each other. After Shutdown, Apply returns ErrShutdown.
func (r *Runner) Apply(ctx context.Context, want remoteconf.Set, started func()) error {
	during, done, err := r.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = r.apply(during, want, started)
	if err != nil && during.Err() != nil && errors.Is(context.Cause(during), ErrShutdown) {
		return ErrShutdown
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (r *Runner) apply(ctx context.Context, want remoteconf.Set, started func()) error {
	previous := r.snapshot()
	var changed []string
	for _, name := range want.Names() {
		if p, has := previous[name]; !has || !bytes.Equal(p.recipe.body, want[name]) {
			changed = append(changed, name)
		}
	}
	s := &switchover{r: r, previous: previous, fresh: make(map[string]*pipeline, len(changed)), old: make(map[string]*pipeline)}
	for name, p := range previous {
		if body, has := want[name]; !has || !bytes.Equal(p.recipe.body, body) {
			s.old[name] = p
		}
	}
	if len(changed) == 0 && len(s.old) == 0 {
		return nil
	}
	recipes, err := r.prepare(ctx, want, changed)
	if err != nil {
		return err
	}
	before := failedBefore(s.old, recipes)
	began := time.Now()
	if err := s.start(ctx, recipes); err != nil {
		return err
	}
	s.finish(ctx)
	r.metrics.switched(time.Since(began))
	if started != nil {
		started()
	}
	if err := r.probation(ctx, s.fresh, before); err != nil && ctx.Err() == nil {
		s.rollBack(ctx, StageProbation)
		return err
	}
	for _, p := range s.fresh {
		p.keep(r)
	}
	return ctx.Err()
}

// prepare reads and dry-runs the pipelines named. All failures are joined.
func (r *Runner) prepare(ctx context.Context, want remoteconf.Set, names []string) ([]*recipe, error) {
	recipes := make([]*recipe, 0, len(names))
	var errs []error
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rec, err := r.readInTime(ctx, name, slices.Clone(want[name]))
		if err == nil {
			err = r.dryRun(ctx, rec)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		recipes = append(recipes, rec)
	}
	return recipes, errors.Join(errs...)
}

// readInTime is read with a time limit: a component's default configuration or
// validation may not return.
func (r *Runner) readInTime(ctx context.Context, name string, body []byte) (*recipe, error) {
	limited, cancel := context.WithTimeoutCause(ctx, r.startTimeout, ownWords("reading the configuration takes longer than %v", r.startTimeout))
	defer cancel()
	rec, err := guardedservice.CallValue(limited, func() (*recipe, error) { return r.read(limited, name, body) },
		func(*recipe, error) {})
	if err == nil {
		return rec, nil
	}
	if limited.Err() != nil && ctx.Err() == nil && !errors.Is(err, guardedservice.ErrStuck) {
		err = errors.Join(context.Cause(limited), err)
	}
	if failure := new(Failure); !errors.As(err, &failure) {
		err = fail(name, StageParse, err, nil)
	}
	return nil, err
}

// dryRun makes all components and shuts them down without a start. Shutdown matters,
// because some components acquire resources when they are made.
func (r *Runner) dryRun(ctx context.Context, rec *recipe) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.startTimeout, ownWords("making the components takes longer than %v", r.startTimeout))
	defer cancel()
	made := newTally()
	err := guardedservice.Call(ctx, func() error {
		set, cfg, err := rec.settings(r, newWatcher())
		if err != nil {
			return err
		}
		set.TelemetryFactory = guardedservice.NoTelemetry(made.watch)
		discardErr, err := guardedservice.DryRun(context.Background(), set, cfg, r.startTimeout)
		if errors.Is(discardErr, guardedservice.ErrStuck) {
			return discardErr
		}
		return rec.secrets.Error(err)
	}, func(error) {})
	if err == nil {
		return nil
	}
	failure := fail(rec.name, StageDryRun, err, made.lastMade)
	if p := new(guardedservice.PanicError); errors.As(err, &p) {
		r.host.Logger.Error("A component panicked when it was made", zap.Error(failure), zap.ByteString("stack", p.Stack))
	}
	return failure
}

// switchover is one change of the running set.
type switchover struct {
	r        *Runner
	previous map[string]*pipeline // the whole running set
	old      map[string]*pipeline // the part of previous that is replaced or removed
	fresh    map[string]*pipeline // the new pipelines that have started
	stopped  []string             // the names of old pipelines that have stopped
}

// start starts the new pipelines. After an error it has rolled back.
func (s *switchover) start(ctx context.Context, recipes []*recipe) error {
	before, err := s.r.listeners()
	if err != nil {
		s.r.host.Logger.Warn("Cannot see what this process listens on; remote pipelines are checked by configuration only", zap.Error(err))
	}
	lastLook := time.Now()
	var unchecked []string // pipelines started since then
	for i, rec := range recipes {
		inst, err := s.launch(ctx, rec)
		if err != nil {
			s.rollBack(ctx, StageStart)
			return err
		}
		s.fresh[rec.name] = newPipeline(rec, inst, nil)
		unchecked = append(unchecked, rec.name)
		if before == nil || i < len(recipes)-1 && time.Since(lastLook) < lookInterval {
			continue
		}
		if err := s.checkListeners(unchecked, before); err != nil {
			s.rollBack(ctx, StageRestrictions)
			return err
		}
		lastLook, unchecked = time.Now(), nil
	}
	return nil
}

// launch starts one pipeline. If that needs what an old pipeline may have, it stops
// the old pipelines and tries again, the predecessor first.
func (s *switchover) launch(ctx context.Context, rec *recipe) (*instance, error) {
	inst, err := s.r.launch(ctx, rec)
	for _, candidates := range [][]string{{rec.name}, slices.Sorted(maps.Keys(s.old))} {
		if err == nil || !conflicting(err) || ctx.Err() != nil {
			break
		}
		if s.stop(ctx, candidates, takenPort(err)) {
			inst, err = s.r.launch(ctx, rec)
		}
	}
	return inst, err
}

// stop stops the named pipelines that are old and still run. If port is not empty,
// it stops only those with the port in their configuration. It reports whether it
// stopped any.
func (s *switchover) stop(ctx context.Context, names []string, port string) bool {
	var stopping []*pipeline
	for _, name := range names {
		p, is := s.old[name]
		if !is || slices.Contains(s.stopped, name) || port != "" && !p.recipe.usesPort(port) {
			continue
		}
		s.r.host.Logger.Info("A remote pipeline is stopped before its successor starts, which needs the same address or file",
			zap.String(PipelineKey, name))
		stopping = append(stopping, p)
		s.stopped = append(s.stopped, name)
	}
	s.r.stopPipelines(ctx, slices.Values(stopping))
	return len(stopping) > 0
}

// finish stops the old pipelines and makes the new set the running one.
func (s *switchover) finish(ctx context.Context) {
	next := maps.Clone(s.previous)
	for name := range s.old {
		delete(next, name)
	}
	maps.Copy(next, s.fresh)
	s.r.replace(next)
	var rest []*pipeline
	for name, p := range s.old {
		if !slices.Contains(s.stopped, name) {
			rest = append(rest, p)
			s.stopped = append(s.stopped, name)
		}
	}
	s.r.stopPipelines(ctx, slices.Values(rest))
}

// rollBack stops the new pipelines and starts the old ones that were stopped. The
// keeper of an old pipeline that does not start goes on trying.
func (s *switchover) rollBack(ctx context.Context, stage Stage) {
	if ctx.Err() == nil && len(s.fresh)+len(s.stopped) > 0 {
		s.r.metrics.rolledBack(stage)
	}
	ctx, cancel := s.r.draining(ctx) // the previous set must run, even if the caller gives up
	defer cancel()
	s.r.stopPipelines(ctx, maps.Values(s.fresh))
	clear(s.fresh)
	restored := maps.Clone(s.previous)
	slices.Sort(s.stopped)
	for _, name := range s.stopped {
		if s.r.isClosed() { // everything is about to be stopped
			delete(restored, name)
			continue
		}
		rec := s.old[name].recipe
		inst, err := s.r.launch(ctx, rec)
		if err != nil {
			s.r.host.Logger.Error("A remote pipeline does not start again after a roll-back; it is tried again",
				zap.String(PipelineKey, name), zap.Error(err))
		}
		p := newPipeline(rec, inst, err)
		p.keep(s.r)
		restored[name] = p
	}
	s.stopped = nil
	s.r.replace(restored)
}

// releaseAll ends the keepers and returns the running services. It gives up waiting
// for keepers guardedservice.Grace after the end of ctx.
func (r *Runner) releaseAll(ctx context.Context, pipelines iter.Seq[*pipeline]) []*instance {
	ended := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ended))
	defer cancel()
	defer context.AfterFunc(ended, func() { time.AfterFunc(guardedservice.Grace, cancel) })()
	var instances []*instance
	for p := range pipelines {
		if p.halt != nil {
			p.halt() // all of them before waiting for the first
		}
	}
	for p := range pipelines {
		if inst := p.release(ctx); inst != nil {
			instances = append(instances, inst)
		}
	}
	return instances
}

// stopPipelines stops pipelines even if ctx has ended, and logs errors.
func (r *Runner) stopPipelines(ctx context.Context, pipelines iter.Seq[*pipeline]) {
	ctx, cancel := r.draining(ctx)
	defer cancel()
	if err := r.stopAll(ctx, r.releaseAll(ctx, pipelines)); err != nil {
		r.host.Logger.Warn("Remote pipelines did not stop cleanly", zap.Error(err))
	}
}
