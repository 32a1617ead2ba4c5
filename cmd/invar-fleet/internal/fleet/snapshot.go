package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// The types below are snapshots: copies that later changes do not touch. Their maps,
// slices and pointers are shared with the Fleet, which replaces them and never writes
// to them. Callers may keep them, and must not write to them either. Times are in UTC.

// Collector is a snapshot of a collector.
type Collector struct {
	Record store.Collector
	Online bool
	// Conflict means that two collectors use this id at the same time.
	Conflict bool
	// OfferedHash is the hash of what the collector is offered. It has received
	// that if Record.Hash is the same, whatever became of it.
	OfferedHash string
	Pipelines   []Assignment
	// Details are empty unless one collector was asked for.
	Details store.Details
}

// Pipeline is a snapshot of a pipeline.
type Pipeline struct {
	Name string
	// Enabled, Matchers and Replaces are those of the newest revision.
	Enabled  bool
	Matchers []string
	Replaces []string
	// Active reports whether collectors get the pipeline where its matchers match.
	Active bool
	// Forced is the override of Enabled, if there is one.
	Forced         *store.Override
	StableRevision uint64
	// Error says why the file is not in force, or is "".
	Error   string
	Rollout rollout.Rollout
	Percent int
	// Plan is the plan of the rollout; nil if there was none.
	Plan       *rollout.Plan
	Collectors PipelineUse
	// Content is that of the file when it was read last, Tag what Publish compares.
	// They are empty unless one pipeline was asked for.
	Content string
	Tag     string
}

// PipelineUse has numbers of online collectors.
type PipelineUse struct {
	// Matching collectors are those that the matchers match.
	Matching int
	// Offered has the collectors that are offered the pipeline.
	Offered rollout.Counts
}

// Summary has numbers of collectors and pipelines.
type Summary struct {
	Collectors, Pipelines int
	// Online collectors are Applied, Failed or Pending. Pending collectors are not up
	// to date, or applying.
	Online, Applied, Failed, Pending int
	// SaveError says why the state could not be saved, FolderError why the folder
	// could not be read. They are nil if all is well.
	SaveError, FolderError error
	// SaveErrors counts the failed saves since the start.
	SaveErrors uint64
}

// Collectors returns a page of the collectors that the filter selects, in the order
// of their ids, the number of all of them, and the After of the next page, or "".
func (f *Fleet) Collectors(filter Filter) (page []Collector, total int, next string, err error) {
	selects, err := filter.compile()
	if err != nil {
		return nil, 0, "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for _, id := range f.state.registry.sortedIDs() {
		c := f.state.registry.collectors[id]
		f.state.offers.refresh(c)
		if !selects(c, now) {
			continue
		}
		total++
		if id <= filter.After {
			continue
		}
		if len(page) == filter.Limit {
			next = page[len(page)-1].Record.ID
			continue
		}
		page = append(page, c.snapshot(now))
	}
	return page, total, next, nil
}

// Collector returns one collector with its details.
func (f *Fleet) Collector(id string) (Collector, error) {
	f.mu.Lock()
	c, err := f.state.collector(id)
	if err != nil {
		f.mu.Unlock()
		return Collector{}, err
	}
	f.state.offers.refresh(c)
	v := c.snapshot(f.now())
	effective, components := c.effective, c.components
	f.mu.Unlock()
	if v.Details, err = f.saver.file.Details(id); err != nil {
		return Collector{}, fmt.Errorf("collector %q: %w", id, err)
	}
	if effective != nil {
		v.Details.Effective = effective
	}
	if components != nil {
		v.Details.Components = components
	}
	return v, nil
}

// snapshot returns the collector, whose entry must be up to date.
func (c *collector) snapshot(now time.Time) Collector {
	record := c.record
	record.FirstSeen, record.LastSeen = record.FirstSeen.UTC(), record.LastSeen.UTC()
	return Collector{
		Record: record, Online: c.online(now), Conflict: c.origins.conflict(now),
		OfferedHash: c.entry.offer.Hash, Pipelines: c.entry.assigned,
	}
}

// Pipelines returns all pipelines in the order of their names.
func (f *Fleet) Pipelines() []Pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	census := f.state.census(f.now())
	var list []Pipeline
	for _, name := range sortedKeys(f.state.pipelines) {
		if p := f.state.pipelines[name]; p.listed() {
			list = append(list, p.snapshot(census))
		}
	}
	return list
}

// Pipeline returns one pipeline with its content.
func (f *Fleet) Pipeline(name string) (Pipeline, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.state.listed(name)
	if err != nil {
		return Pipeline{}, err
	}
	v := p.snapshot(f.state.census(f.now()))
	v.Tag = p.saved.FileTag
	for _, r := range slices.Backward(p.revisions) {
		if contentTag([]byte(r.record.Content)) == p.saved.FileTag {
			v.Content = r.record.Content
			break
		}
	}
	return v, nil
}

func (p *pipeline) snapshot(census census) Pipeline {
	v := Pipeline{
		Name: p.name, Error: p.fileError, StableRevision: p.saved.Stable,
		Rollout: p.saved.Rollout, Percent: p.percent(), Plan: p.plan(),
	}
	v.Rollout.Since, v.Rollout.AppliedSince = v.Rollout.Since.UTC(), v.Rollout.AppliedSince.UTC()
	if newest := cmp.Or(p.newest(), p.revision(p.saved.Rollout.Revision)); newest != nil {
		v.Enabled, v.Matchers, v.Replaces = newest.definition.enabled, newest.definition.texts, newest.definition.replaces
		v.Active = p.newest() != nil && p.active(newest)
	}
	if p.saved.Forced != nil {
		v.Forced = &store.Override{Active: p.saved.Forced.Active, Until: p.saved.Forced.Until.UTC()}
	}
	for e, counts := range census {
		if _, found := slices.BinarySearch(e.matching, p.name); found {
			v.Collectors.Matching += counts.Total()
		}
		if e.revision(p.name) != 0 {
			v.Collectors.Offered.Add(*counts)
		}
	}
	return v
}

// Revisions returns the revisions of a pipeline, the newest first.
func (f *Fleet) Revisions(name string) ([]store.Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, err := f.state.listed(name)
	if err != nil {
		return nil, err
	}
	list := make([]store.Revision, 0, len(p.revisions))
	for _, r := range slices.Backward(p.revisions) {
		record := r.record
		record.Time = record.Time.UTC()
		list = append(list, record)
	}
	return list, nil
}

// Audit returns up to limit entries of the audit log, the newest first. The caller
// owns them.
func (f *Fleet) Audit(limit int) ([]store.AuditEntry, error) { return f.saver.file.Audit(limit) }

// Summary counts collectors and pipelines.
func (f *Fleet) Summary() Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	s := Summary{
		Collectors: len(f.state.registry.collectors),
		SaveError:  f.saver.err, SaveErrors: f.saver.errors, FolderError: f.folderError,
	}
	for _, c := range f.state.registry.collectors {
		if !c.online(now) {
			continue
		}
		f.state.offers.refresh(c)
		s.Online++
		switch {
		case c.record.Status == remoteconf.StatusFailed:
			s.Failed++
		case c.progress() == applied:
			s.Applied++
		default:
			s.Pending++
		}
	}
	for _, p := range f.state.pipelines {
		if p.listed() {
			s.Pipelines++
		}
	}
	return s
}

// Err returns what keeps the fleet from following its folder or from saving its
// state, or nil.
func (s *Summary) Err() error {
	switch {
	case s.SaveError != nil:
		return fmt.Errorf("the state is not saved: %w", s.SaveError)
	case s.FolderError != nil:
		return fmt.Errorf("the folder of pipelines: %w", s.FolderError)
	}
	return nil
}
