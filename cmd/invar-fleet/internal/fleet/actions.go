package fleet

import (
	"context"
	"fmt"
	"time"
)

// maxForced bounds for how long a pipeline can be activated or deactivated.
const maxForced = 31 * 24 * time.Hour

// Actions return when what they did is saved. Errors are ErrNotFound, ErrInvalid,
// ErrConflict, ErrChanged, or of the file system. actor is who does it, for the
// audit log.

// Publish makes content the file of the pipeline name and begins its rollout.
// With ifMatch, which is a Pipeline's Tag, it does so only if the file has still
// that content; "*": if there is one. A content that is in force or on its way
// already changes nothing. It returns the newest revision.
func (f *Fleet) Publish(ctx context.Context, actor, name string, content []byte, ifMatch string) (uint64, error) {
	d, err := readDefinition(name, file{content: content})
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	if number, err := f.mayPublish(name, content, d, ifMatch); number != 0 || err != nil {
		return number, err
	}
	if err := f.writeFile(name, content); err != nil {
		return 0, err
	}
	f.mu.Lock()
	p := f.pipelines[name]
	if p == nil {
		p = &pipeline{name: name}
		f.pipelines[name] = p
	}
	f.take(p, content, d, actor)
	number, saving := p.state.Last, f.open
	f.mu.Unlock()
	return number, saving.wait(ctx)
}

// mayPublish returns the newest revision if it has this content already.
func (f *Fleet) mayPublish(name string, content []byte, d *definition, ifMatch string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pipelines[name]
	exists := p != nil && !p.removed()
	if ifMatch != "" && (!exists || ifMatch != "*" && ifMatch != p.state.FileTag) {
		return 0, fmt.Errorf("pipeline %q: %w; read it again and publish what you want then", name, ErrChanged)
	}
	if !exists && len(f.offers.pipelines) >= maxPipelines {
		return 0, fmt.Errorf("%w: there are %d pipelines, and no more are taken", ErrConflict, maxPipelines)
	}
	known := func(other string) bool { q := f.pipelines[other]; return q != nil && !q.removed() }
	if err := f.checkReplaces(name, d, known); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if exists && p.newest() != nil && p.fileError == "" && p.newest().Content == string(content) {
		return p.newest().Number, nil
	}
	return 0, nil
}

// Remove deletes a pipeline and its file.
func (f *Fleet) Remove(ctx context.Context, actor, name string) error {
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	if _, err := f.Pipeline(name); err != nil {
		return err
	}
	if err := f.removeFile(name); err != nil {
		return err
	}
	f.mu.Lock()
	f.remove(f.pipelines[name], actor)
	saving := f.open
	f.mu.Unlock()
	return saving.wait(ctx)
}

// act changes the state of a pipeline. change returns the details for the audit
// log.
func (f *Fleet) act(ctx context.Context, actor, action, name string, change func(*pipeline) (string, error)) error {
	f.mu.Lock()
	p := f.pipelines[name]
	if p == nil || !p.listed() {
		f.mu.Unlock()
		return fmt.Errorf("pipeline %q: %w", name, ErrNotFound)
	}
	details, err := change(p)
	if err != nil {
		f.mu.Unlock()
		return fmt.Errorf("pipeline %q: %w", name, err)
	}
	f.open.pipelines[name] = true
	f.note(actor, action, name, details)
	f.changed()
	saving := f.open
	f.mu.Unlock()
	return saving.wait(ctx)
}

// Pause keeps a rollout at the share that it has.
func (f *Fleet) Pause(ctx context.Context, actor, name string) error {
	return f.act(ctx, actor, "paused", name, func(p *pipeline) (string, error) {
		r := &p.state.Rollout
		if r.State != RolloutRunning {
			return "", fmt.Errorf("%w: its rollout is %s; only a running one can be paused", ErrConflict, r.State)
		}
		r.State, r.Since, r.AppliedSince = RolloutPaused, f.now(), time.Time{}
		return fmt.Sprintf("revision %d at %d %%", r.Revision, p.percent()), nil
	})
}

// Resume lets a paused or halted rollout go on with the stage where it was.
func (f *Fleet) Resume(ctx context.Context, actor, name string) error {
	return f.act(ctx, actor, "resumed", name, func(p *pipeline) (string, error) {
		r := &p.state.Rollout
		if r.State != RolloutPaused && r.State != RolloutHalted {
			return "", fmt.Errorf("%w: its rollout is %s; only a paused or halted one can be resumed", ErrConflict, r.State)
		}
		r.State, r.Since, r.Reason, r.Failed = RolloutRunning, f.now(), "", nil
		return fmt.Sprintf("revision %d at %d %%", r.Revision, p.percent()), nil
	})
}

// Promote gives the candidate to all at once. It can still be halted.
func (f *Fleet) Promote(ctx context.Context, actor, name string) error {
	return f.act(ctx, actor, "promoted", name, func(p *pipeline) (string, error) {
		r := &p.state.Rollout
		if !r.offered() && r.State != RolloutHalted {
			return "", fmt.Errorf("%w: its rollout is %s; there is no candidate to promote", ErrConflict, r.State)
		}
		stages := p.revision(r.Revision).definition.stages
		*r = rollout{Revision: r.Revision, State: RolloutRunning, Stage: len(stages) - 1, Since: f.now()}
		return fmt.Sprintf("revision %d: 100 %%", r.Revision), nil
	})
}

// Rollback puts an earlier revision in force for all at once, and its content
// into the file. The number stays that of the earlier revision.
func (f *Fleet) Rollback(ctx context.Context, actor, name string, number uint64) error {
	f.folderMu.Lock()
	defer f.folderMu.Unlock()
	content, err := f.revisionContent(name, number)
	if err != nil {
		return err
	}
	if err := f.writeFile(name, []byte(content)); err != nil {
		return err
	}
	return f.act(ctx, actor, "rolled back", name, func(p *pipeline) (string, error) {
		from := p.state.Last
		if r := p.newest(); r != nil {
			from = r.Number
		}
		p.state.Stable, p.state.FileTag = number, contentTag([]byte(content))
		p.state.Rollout, p.fileError, p.badTag = rollout{State: RolloutNone}, "", ""
		return fmt.Sprintf("from revision %d to %d", from, number), nil
	})
}

func (f *Fleet) revisionContent(name string, number uint64) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pipelines[name]
	if p == nil || !p.listed() {
		return "", fmt.Errorf("pipeline %q: %w", name, ErrNotFound)
	}
	r := p.revision(number)
	if r == nil {
		return "", fmt.Errorf("pipeline %q: revision %d: %w; the last %d are kept", name, number, ErrNotFound, keptRevisions)
	}
	if p.state.Stable == number && !p.state.Rollout.offered() {
		return "", fmt.Errorf("pipeline %q: %w: revision %d is in force", name, ErrConflict, number)
	}
	if _, err := parseDefinition(name, []byte(r.Content)); err != nil {
		return "", fmt.Errorf("pipeline %q: %w: revision %d: %w", name, ErrConflict, number, err)
	}
	return r.Content, nil
}

// Activate makes collectors get the pipeline whatever its file says: for a time,
// after which the file decides again, or with 0 until told otherwise.
func (f *Fleet) Activate(ctx context.Context, actor, name string, duration time.Duration) error {
	return f.force(ctx, actor, "activated", name, true, duration)
}

// Deactivate takes the pipeline from collectors whatever its file says, as
// Activate gives it.
func (f *Fleet) Deactivate(ctx context.Context, actor, name string, duration time.Duration) error {
	return f.force(ctx, actor, "deactivated", name, false, duration)
}

func (f *Fleet) force(ctx context.Context, actor, action, name string, active bool, duration time.Duration) error {
	if duration < 0 || duration > maxForced {
		return fmt.Errorf("%w: for: %s is out of range; use up to %s, or leave it out", ErrInvalid, duration, maxForced)
	}
	return f.act(ctx, actor, action, name, func(p *pipeline) (string, error) {
		newest := p.newest()
		if newest == nil {
			return "", fmt.Errorf("%w: it has no revision in force", ErrConflict)
		}
		if duration > 0 {
			until := f.now().Add(duration)
			p.state.Forced = &override{Active: active, Until: until}
			return "until " + until.UTC().Format(time.RFC3339), nil
		}
		p.state.Forced = nil
		if newest.definition.enabled != active {
			p.state.Forced = &override{Active: active}
		}
		return "until told otherwise", nil
	})
}

// Forget removes a collector from memory. One that is alive comes back with its
// next report.
func (f *Fleet) Forget(ctx context.Context, actor, id string) error {
	f.mu.Lock()
	if f.collectors[id] == nil {
		f.mu.Unlock()
		return fmt.Errorf("collector %q: %w", id, ErrNotFound)
	}
	f.forget(id)
	f.note(actor, "forgot", id, "")
	saving := f.open
	f.mu.Unlock()
	return saving.wait(ctx)
}

// listed tells whether the pipeline is shown: it has a file, even if it is not
// right.
func (p *pipeline) listed() bool { return !p.removed() || p.fileError != "" }
