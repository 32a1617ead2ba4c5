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

// maxGrace is how long a recoverable error must last at the end of the probation to
// fail it; for a short probation it is a third of the probation.
const maxGrace = 10 * time.Second

// maxPatience bounds the extension of the probation for destinations that have not
// answered yet while their exporters still wait.
const maxPatience = time.Minute

// answerInterval is the time between two looks for such an answer.
const answerInterval = time.Second

// onTrial is a pipeline in its probation.
type onTrial struct {
	inst *instance
	rec  *recipe
	// failedBefore are the exporters that failed in the predecessor with the same
	// configuration, for which the new configuration is not to blame.
	failedBefore map[string]bool
}

// probation watches the new pipelines. It returns a *Failure, or nil if they may stay
// or ctx has ended. before are the exporters of each pipeline that failed before.
func (r *Runner) probation(ctx context.Context, fresh map[string]*pipeline, before map[string]map[string]bool) error {
	if r.set.Probation <= 0 || len(fresh) == 0 {
		return nil
	}
	alarm := make(chan struct{}, 1)
	watched := make(map[string]onTrial, len(fresh))
	for name, p := range fresh {
		watched[name] = onTrial{p.instance(), p.recipe, before[name]}
		watched[name].inst.watcher.setNotify(alarm)
	}
	defer func() {
		for _, t := range watched {
			t.inst.watcher.setNotify(nil)
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

// failedBefore returns, by pipeline, the exporters that fail in the old pipelines and
// have the same configuration in the recipes that replace them.
func failedBefore(old map[string]*pipeline, recipes []*recipe) map[string]map[string]bool {
	before := make(map[string]map[string]bool)
	for _, rec := range recipes {
		p := old[rec.name]
		if p == nil {
			continue
		}
		inst := p.instance()
		if inst == nil || !sameSection(p.recipe, rec, sectionExtensions) { // a corrected authenticator may be the fix
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
	// usualTimeout is assumed for an exporter without a timeout of its own.
	usualTimeout = 30 * time.Second
	// timeoutSlack is the time between the end of a timeout and its report.
	timeoutSlack = time.Second
)

// timeout returns how long an exporter waits for its destination to answer.
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

// worst returns the worst error that the new configuration is to blame for.
func (t onTrial) worst() *componentError { return t.inst.watcher.worstExcept(t.failedBefore) }

// permanent returns the Failure of a pipeline with an error that is not recoverable.
func permanent(watched map[string]onTrial) error {
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		worst := watched[name].worst()
		if worst != nil && worst.status != componentstatus.StatusRecoverableError {
			return &Failure{Pipelines: []string{name}, Key: worst.key(), Stage: StageProbation, Err: worst}
		}
	}
	return nil
}

// lasting returns the Failure of a pipeline whose error has lasted for grace. If an
// error has lasted less and mayWait is true, it returns how long to wait for it.
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

// delivered returns the Failures of pipelines whose exporters lost too much. If a
// destination has not answered yet and may still do so, it returns how long to wait
// before the next look, at most left.
func (r *Runner) delivered(watched map[string]onTrial, left time.Duration) (wait time.Duration, err error) {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(watched)) {
		t := watched[name]
		v := t.inst.sent.judge(r.set.MaxErrorRatio, func(exporter string) (time.Duration, bool) {
			if left <= 0 {
				return 0, !t.failedBefore[exporter]
			}
			return t.rec.timeout(exporter), !t.failedBefore[exporter]
		})
		if v.err != nil {
			errs = append(errs, &Failure{
				Pipelines: []string{name}, Key: sectionExporters + "::" + v.lane.exporter, Stage: StageProbation,
				Err: ownWords("in %v of probation %v", r.set.Probation, v.err),
			})
		}
		wait = max(wait, min(v.wait, left, answerInterval))
	}
	return wait, errors.Join(errs...)
}
