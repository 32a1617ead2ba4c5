package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

const (
	// keptRevisions is how many revisions of a pipeline are kept, besides those in
	// force.
	keptRevisions = 50
	// maxForced is how long a pipeline can be activated or deactivated at most.
	maxForced = 31 * 24 * time.Hour
)

// pipeline is one pipeline with its history. The Fleet's mutex guards it.
type pipeline struct {
	name      string
	saved     store.Pipeline
	revisions []*revision // ascending
	// fileError is why the file's content, which rejectedTag identifies, is not in
	// force.
	fileError, rejectedTag string
}

// revision is one content of a pipeline's file.
type revision struct {
	record     store.Revision
	definition *definition
	isSaved    bool
}

func newPipeline(name string) *pipeline {
	return &pipeline{name: name, saved: store.Pipeline{Rollout: rollout.Rollout{State: rollout.None}}}
}

// removed reports whether the pipeline has no file.
func (p *pipeline) removed() bool { return !p.saved.RemovedAt.IsZero() }

// listed reports whether the pipeline is shown: it has a file, even an invalid
// one.
func (p *pipeline) listed() bool { return !p.removed() || p.fileError != "" }

// revision returns the revision with this number, or nil.
func (p *pipeline) revision(number uint64) *revision {
	i, found := slices.BinarySearchFunc(p.revisions, number, func(r *revision, n uint64) int {
		return cmp.Compare(r.record.Number, n)
	})
	if !found {
		return nil
	}
	return p.revisions[i]
}

func (p *pipeline) stable() *revision { return p.revision(p.saved.Stable) }

// candidate returns the revision that is being rolled out, or nil.
func (p *pipeline) candidate() *revision {
	if !p.saved.Rollout.Offered() {
		return nil
	}
	return p.revision(p.saved.Rollout.Revision)
}

// newest returns the candidate, or the stable revision if there is none, or nil.
func (p *pipeline) newest() *revision {
	if r := p.candidate(); r != nil {
		return r
	}
	return p.stable()
}

// plan returns the plan of the latest rollout, or nil if its state is None.
func (p *pipeline) plan() *rollout.Plan {
	if r := p.revision(p.saved.Rollout.Revision); r != nil {
		return &r.definition.plan
	}
	return nil
}

// percent returns the share of the collectors that are offered the candidate.
func (p *pipeline) percent() int { return p.saved.Rollout.Percent(p.plan()) }

// active reports whether collectors that match get r.
func (p *pipeline) active(r *revision) bool {
	if p.saved.Forced != nil {
		return p.saved.Forced.Active
	}
	return r.definition.enabled
}

// add makes a new revision of content and drops the oldest.
func (p *pipeline) add(content []byte, d *definition, actor string, now time.Time) *revision {
	p.saved.Last++
	r := &revision{
		record:     store.Revision{Number: p.saved.Last, Time: now, Actor: actor, Content: string(content)},
		definition: d,
	}
	p.revisions = append(p.revisions, r)
	for i := 0; len(p.revisions) > keptRevisions && i < len(p.revisions); {
		if n := p.revisions[i].record.Number; n == p.saved.Stable || n == p.saved.Rollout.Revision || n == r.record.Number {
			i++
			continue
		}
		p.revisions = slices.Delete(p.revisions, i, i+1)
	}
	return r
}

// accept notes that content is in the file, and valid.
func (p *pipeline) accept(content []byte) {
	p.saved.FileTag = contentTag(content)
	p.fileError, p.rejectedTag = "", ""
}

// setRollout sets the result of a rule of package rollout, and returns the details
// for the audit log.
func (p *pipeline) setRollout(r rollout.Rollout, err error) (string, error) {
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrConflict, err)
	}
	p.saved.Rollout = r
	return fmt.Sprintf("revision %d at %d %%", r.Revision, p.percent()), nil
}

// restore puts an earlier revision in force for all collectors, and returns the
// details for the audit log.
func (p *pipeline) restore(number uint64, content []byte) string {
	from := p.saved.Last
	if r := p.newest(); r != nil {
		from = r.record.Number
	}
	p.saved.Stable, p.saved.Rollout = number, rollout.Rollout{State: rollout.None}
	p.accept(content)
	return fmt.Sprintf("from revision %d to %d", from, number)
}

// restorable returns the content of an earlier revision if it can be put in force.
func (s *state) restorable(name string, number uint64) ([]byte, error) {
	p, err := s.listed(name)
	if err != nil {
		return nil, err
	}
	r := p.revision(number)
	if r == nil {
		return nil, fmt.Errorf("pipeline %q: revision %d: %w; the last %d are kept", name, number, ErrNotFound, keptRevisions)
	}
	if p.saved.Stable == number && !p.saved.Rollout.Offered() {
		return nil, fmt.Errorf("pipeline %q: %w: revision %d is in force", name, ErrConflict, number)
	}
	content := []byte(r.record.Content)
	if _, err := parseDefinition(name, content); err != nil {
		return nil, fmt.Errorf("pipeline %q: %w: revision %d: %w", name, ErrConflict, number, err)
	}
	return content, nil
}

// force makes the pipeline active or inactive whatever its file says, and returns
// the details for the audit log. With duration 0 that has no end, and needs no
// override if the file says the same.
func (p *pipeline) force(active bool, duration time.Duration, now time.Time) (string, error) {
	newest := p.newest()
	if newest == nil {
		return "", fmt.Errorf("%w: it has no revision in force", ErrConflict)
	}
	if duration > 0 {
		until := now.Add(duration)
		p.saved.Forced = &store.Override{Active: active, Until: until}
		return "until " + until.UTC().Format(time.RFC3339), nil
	}
	p.saved.Forced = nil
	if newest.definition.enabled != active {
		p.saved.Forced = &store.Override{Active: active}
	}
	return "until told otherwise", nil
}

// checkForced returns an error if a pipeline cannot be forced for this long.
func checkForced(duration time.Duration) error {
	if duration < 0 || duration > maxForced {
		return fmt.Errorf("%w: for: %s is out of range; use up to %s, or leave it out", ErrInvalid, duration, maxForced)
	}
	return nil
}
