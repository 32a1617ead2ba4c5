package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
)

// The actions below return when their change is saved. actor is who asked for it,
// for the audit log. Errors are ErrNotFound, ErrInvalid, ErrConflict, ErrChanged,
// those of ctx, and those of the file system.

// Publish writes content to the file of the pipeline name and begins its rollout.
// It returns the number of the newest revision. Nothing changes if that has this
// content already. ifMatch is a Pipeline.Tag, with which Publish requires that the
// file still has that content, "*" if any file will do, or "".
func (f *Fleet) Publish(ctx context.Context, actor, name string, content []byte, ifMatch string) (uint64, error) {
	d, err := readDefinition(name, file{content: content})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	f.mu.Lock()
	number, err := f.state.checkPublish(name, content, d, ifMatch)
	f.mu.Unlock()
	if number != 0 || err != nil {
		return number, err
	}
	if err := f.folder.write(name, content); err != nil {
		return 0, err
	}
	f.mu.Lock()
	p := f.state.pipeline(name)
	f.state.publish(p, content, d, actor, byStages, f.now())
	number, saving := p.saved.Last, f.state.changes.open
	f.mu.Unlock()
	return number, saving.wait(ctx)
}

// Remove deletes a pipeline and its file.
func (f *Fleet) Remove(ctx context.Context, actor, name string) error {
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	f.mu.Lock()
	p, err := f.state.listed(name)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if err := f.folder.remove(name); err != nil {
		return err
	}
	f.mu.Lock()
	f.state.remove(p, actor, f.now())
	saving := f.state.changes.open
	f.mu.Unlock()
	return saving.wait(ctx)
}

// change applies a change to the pipeline name, records it in the audit log and
// waits until it is saved. apply returns the details for the audit log. If it returns
// an error it must not have changed anything.
func (f *Fleet) change(ctx context.Context, actor, action, name string, apply func(*pipeline, time.Time) (string, error)) error {
	f.mu.Lock()
	p, err := f.state.listed(name)
	if err != nil {
		f.mu.Unlock()
		return err
	}
	now := f.now()
	details, err := apply(p, now)
	if err != nil {
		f.mu.Unlock()
		return fmt.Errorf("pipeline %q: %w", name, err)
	}
	f.state.changes.pipeline(name)
	f.state.changes.audit(now, actor, action, name, details)
	f.state.offersChanged()
	saving := f.state.changes.open
	f.mu.Unlock()
	return saving.wait(ctx)
}

// Pause keeps a rollout at the share that it has reached.
func (f *Fleet) Pause(ctx context.Context, actor, name string) error {
	return f.change(ctx, actor, "paused", name, func(p *pipeline, now time.Time) (string, error) {
		return p.setRollout(rollout.Pause(p.saved.Rollout, now))
	})
}

// Resume continues a paused or halted rollout with the stage that it was in.
func (f *Fleet) Resume(ctx context.Context, actor, name string) error {
	return f.change(ctx, actor, "resumed", name, func(p *pipeline, now time.Time) (string, error) {
		return p.setRollout(rollout.Resume(p.saved.Rollout, now))
	})
}

// Promote offers the candidate to all collectors at once. The rollout can still be
// halted.
func (f *Fleet) Promote(ctx context.Context, actor, name string) error {
	return f.change(ctx, actor, "promoted", name, func(p *pipeline, now time.Time) (string, error) {
		_, err := p.setRollout(rollout.Promote(p.saved.Rollout, p.plan(), now))
		return fmt.Sprintf("revision %d: 100 %%", p.saved.Rollout.Revision), err
	})
}

// Rollback puts an earlier revision in force for all collectors at once, and its
// content into the file. The revision keeps its number.
func (f *Fleet) Rollback(ctx context.Context, actor, name string, number uint64) error {
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	f.mu.Lock()
	content, err := f.state.restorable(name, number)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	if err := f.folder.write(name, content); err != nil {
		return err
	}
	return f.change(ctx, actor, "rolled back", name, func(p *pipeline, _ time.Time) (string, error) {
		return p.restore(number, content), nil
	})
}

// Activate makes the pipeline active whatever its file says. After duration the file
// decides again; 0 is without end.
func (f *Fleet) Activate(ctx context.Context, actor, name string, duration time.Duration) error {
	if err := checkForced(duration); err != nil {
		return err
	}
	return f.change(ctx, actor, "activated", name, func(p *pipeline, now time.Time) (string, error) {
		return p.force(true, duration, now)
	})
}

// Deactivate makes the pipeline inactive, in the same way as Activate.
func (f *Fleet) Deactivate(ctx context.Context, actor, name string, duration time.Duration) error {
	if err := checkForced(duration); err != nil {
		return err
	}
	return f.change(ctx, actor, "deactivated", name, func(p *pipeline, now time.Time) (string, error) {
		return p.force(false, duration, now)
	})
}

// Forget removes a collector. One that is alive comes back with its next report.
func (f *Fleet) Forget(ctx context.Context, actor, id string) error {
	f.mu.Lock()
	c, err := f.state.collector(id)
	if err != nil {
		f.mu.Unlock()
		return err
	}
	f.state.registry.forget(c)
	f.state.changes.audit(f.now(), actor, "forgot", id, "")
	saving := f.state.changes.open
	f.mu.Unlock()
	return saving.wait(ctx)
}
