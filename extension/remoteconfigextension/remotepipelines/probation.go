package remotepipelines

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/zap"
)

// maxGrace is how long an error that may pass has to last at the end of the
// probation to count; for a short probation it is a third of that.
const maxGrace = 10 * time.Second

// maxPatience is how much longer the probation takes at most for a destination
// that has not answered yet, though its exporter still waits for it.
const maxPatience = time.Minute

// lookAgain is how often it is looked whether it has answered meanwhile.
const lookAgain = time.Second

// onTrial is a pipeline in its probation.
type onTrial struct {
	inst *instance
	rec  *recipe
	// before are the exporters that failed in the predecessor with the same
	// configuration: the new one has not made them worse.
	before map[string]bool
}

// probation watches the new pipelines. It returns a *Failure, or nil if they may
// stay, which includes that ctx ended. before has the exporters of each that failed
// before.
func (r *Runner) probation(ctx context.Context, fresh map[string]*pipeline, before map[string]map[string]bool) error {
	if r.set.Probation <= 0 || len(fresh) == 0 {
		return nil
	}
	alarm := make(chan struct{}, 1)
	watched := make(map[string]onTrial, len(fresh))
	for name, p := range fresh {
		watched[name] = onTrial{p.instance(), p.recipe, before[name]}
		watched[name].inst.watcher.notifyOf(alarm)
	}
	defer func() {
		for _, t := range watched {
			t.inst.watcher.notifyOf(nil)
		}
	}()
	grace := min(maxGrace, r.set.Probation/3)
	began := time.Now()
	end := time.NewTimer(r.set.Probation)
	defer end.Stop()
	latest, answered := began.Add(2*r.set.Probation), began.Add(r.set.Probation+maxPatience)
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
		if wait == 0 {
			if wait, err = r.delivered(watched, time.Until(answered)); err != nil || wait == 0 {
				return err
			}
		}
		end.Reset(wait)
	}
}

// failedBefore returns the exporters that fail in the pipelines named and have the
// same configuration in their successors, by pipeline.
func failedBefore(old map[string]*pipeline, recipes []*recipe) map[string]map[string]bool {
	before := make(map[string]map[string]bool)
	for _, rec := range recipes {
		p := old[rec.name]
		if p == nil {
			continue
		}
		inst := p.instance()
		if inst == nil || !sameSection(p.recipe, rec, sectionExtensions) { // an authenticator may be what is mended
			continue
		}
		failing := make(map[string]bool)
		exporters, _ := rec.resolved.ToStringMap()[sectionExporters].(map[string]any)
		earlier, _ := p.recipe.resolved.ToStringMap()[sectionExporters].(map[string]any)
		for id, config := range exporters {
			same, has := earlier[id]
			if has && reflect.DeepEqual(same, config) && (inst.sent.isFailing(id, p.recipe.timeout(id)) || inst.watcher.failing(id)) {
				failing[id] = true
			}
		}
		before[rec.name] = failing
		for id := range failing {
			inst.logger.Warn("An exporter does not deliver; the new configuration, which has the same, is not blamed for it", zap.String("exporter", id))
		}
	}
	return before
}

func sameSection(a, b *recipe, section string) bool {
	return reflect.DeepEqual(a.resolved.ToStringMap()[section], b.resolved.ToStringMap()[section])
}

const (
	// usualTimeout is how long an exporter without a timeout of its own waits for
	// an answer.
	usualTimeout = 30 * time.Second
	// timeoutSlack is what may pass between the end of a timeout and its being told.
	timeoutSlack = time.Second
)

// timeout returns how long an exporter waits for an answer of its destination.
func (rec *recipe) timeout(exporter string) time.Duration {
	key := sectionExporters + confmap.KeyDelimiter + exporter + confmap.KeyDelimiter + "timeout"
	timeout := usualTimeout
	switch v := rec.effective.Get(key).(type) {
	case time.Duration:
		timeout = v
	case string:
		if d, err := time.ParseDuration(v); err == nil {
			timeout = d
		}
	}
	if timeout <= 0 { // none
		timeout = maxPatience
	}
	return timeout + timeoutSlack
}

// worst returns the gravest error that the pipeline was brought by its new
// configuration.
func (t onTrial) worst() *componentError { return t.inst.watcher.worstExcept(t.before) }

// permanent returns the Failure of a pipeline that will not recover.
func permanent(watched map[string]onTrial) error {
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		worst := watched[name].worst()
		if worst != nil && worst.status != componentstatus.StatusRecoverableError {
			return &Failure{Pipelines: []string{name}, Key: worst.key(), Stage: StageProbation, Err: worst}
		}
	}
	return nil
}

// lasting returns the Failure of a pipeline that has been in an error for the
// grace. If one has been for less, and more time may be taken, it returns how
// long to wait for it.
func lasting(watched map[string]onTrial, grace time.Duration, mayWait bool) (time.Duration, error) {
	var wait time.Duration
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		worst := watched[name].worst()
		if worst == nil {
			continue
		}
		left := grace - time.Since(worst.since)
		if left <= 0 || !mayWait {
			return 0, &Failure{Pipelines: []string{name}, Key: worst.key(), Stage: StageProbation, Err: worst}
		}
		wait = max(wait, left)
	}
	return wait, nil
}

// delivered returns the Failure of a pipeline whose exporters lost too much. If a
// destination has not answered yet, and may for a while, it returns how long to
// wait until it is looked again, at most left.
func (r *Runner) delivered(watched map[string]onTrial, left time.Duration) (wait time.Duration, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		t := watched[name]
		v := t.inst.sent.judge(r.set.MaxErrorRatio, func(exporter string) (time.Duration, bool) {
			if left <= 0 {
				return 0, !t.before[exporter]
			}
			return t.rec.timeout(exporter), !t.before[exporter]
		})
		if v.err != nil {
			errs = append(errs, &Failure{
				Pipelines: []string{name}, Key: sectionExporters + "::" + v.lane.exporter, Stage: StageProbation,
				Err: ownWords("in %v of probation %v", r.set.Probation, v.err),
			})
		}
		wait = max(wait, min(v.wait, left, lookAgain))
	}
	return wait, errors.Join(errs...)
}
