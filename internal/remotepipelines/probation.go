package remotepipelines

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
)

// maxGrace is how long an error that may pass has to last at the end of the
// probation to count; for a short probation it is a third of that.
const maxGrace = 10 * time.Second

// probation watches the new pipelines. It returns a *Failure, or nil if they may
// stay, which includes that ctx ended.
func (r *Runner) probation(ctx context.Context, fresh map[string]*pipeline) error {
	if r.set.Probation <= 0 || len(fresh) == 0 {
		return nil
	}
	alarm := make(chan struct{}, 1)
	watched := make(map[string]*instance, len(fresh))
	for name, p := range fresh {
		watched[name] = p.instance()
		watched[name].watcher.notifyOf(alarm)
	}
	defer func() {
		for _, inst := range watched {
			inst.watcher.notifyOf(nil)
		}
	}()
	grace := min(maxGrace, r.set.Probation/3)
	end := time.NewTimer(r.set.Probation)
	defer end.Stop()
	latest := time.Now().Add(2 * r.set.Probation)
	for {
		if err := permanent(watched); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-alarm:
			continue
		case <-end.C:
		}
		wait, err := lasting(watched, grace, time.Now().Before(latest))
		if err != nil {
			return err
		}
		if wait > 0 {
			end.Reset(wait)
			continue
		}
		return r.delivered(watched)
	}
}

// permanent returns the Failure of a pipeline that will not recover.
func permanent(watched map[string]*instance) error {
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		worst := watched[name].watcher.worst()
		if worst != nil && worst.status != componentstatus.StatusRecoverableError {
			return &Failure{Pipeline: name, Key: worst.key(), Stage: StageProbation, Err: worst}
		}
	}
	return nil
}

// lasting returns the Failure of a pipeline that has been in an error for the
// grace. If one has been for less, and more time may be taken, it returns how
// long to wait for it.
func lasting(watched map[string]*instance, grace time.Duration, mayWait bool) (time.Duration, error) {
	var wait time.Duration
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		worst := watched[name].watcher.worst()
		if worst == nil {
			continue
		}
		left := grace - time.Since(worst.since)
		if left <= 0 || !mayWait {
			return 0, &Failure{Pipeline: name, Key: worst.key(), Stage: StageProbation, Err: worst}
		}
		wait = max(wait, left)
	}
	return wait, nil
}

// delivered returns the Failure of a pipeline whose exporters lost too much.
func (r *Runner) delivered(watched map[string]*instance) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		if exporter, err := watched[name].sent.failing(r.set.MaxErrorRatio); err != nil {
			errs = append(errs, &Failure{
				Pipeline: name, Key: sectionExporters + "::" + exporter, Stage: StageProbation,
				Err: fmt.Errorf("in %v of probation %w", r.set.Probation, err),
			})
		}
	}
	return errors.Join(errs...)
}
