package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// Collector is a collector as the API shows it.
type Collector struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Transport  string            `json:"transport"`
	Address    string            `json:"address"`
	Attributes map[string]string `json:"attributes"`
	FirstSeen  time.Time         `json:"first_seen"`
	LastSeen   time.Time         `json:"last_seen"`
	Online     bool              `json:"online"`
	// Conflict: two collectors use this id at the same time.
	Conflict    bool   `json:"conflict"`
	Status      string `json:"status"`
	Error       string `json:"error"`
	Hash        string `json:"hash"`
	OfferedHash string `json:"offered_hash"`
	// UpToDate: the collector has received what it is offered now, whatever
	// became of it.
	UpToDate  bool         `json:"up_to_date"`
	Healthy   *bool        `json:"healthy"`
	Health    string       `json:"health"`
	Pipelines []Assignment `json:"pipelines"`
	// Effective and Components are there if one collector was asked for.
	Effective  map[string]string `json:"effective,omitempty"`
	Components []string          `json:"components,omitempty"`
}

// Filter selects collectors.
type Filter struct {
	// Status is a status of the protocols in capitals, or online, offline,
	// pending (not up to date) or conflict; "": all.
	Status string
	// Match are matchers, or parts of an id or name; all have to hold.
	Match []string
	// After is the id after which to go on, Limit how many to return.
	After string
	Limit int
}

// Collectors returns those that f selects in the order of their ids, how many
// there are in all, and the After of the next page, or "".
func (f *Fleet) Collectors(filter Filter) (page []Collector, total int, next string, err error) {
	selects, err := filter.compile()
	if err != nil {
		return nil, 0, "", fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	page = []Collector{}
	if f.ids == nil {
		f.ids = sortedKeys(f.collectors)
	}
	for _, id := range f.ids {
		c := f.collectors[id]
		f.refresh(c)
		if !selects(c, now) {
			continue
		}
		total++
		if id <= filter.After {
			continue
		}
		if len(page) == filter.Limit {
			next = page[len(page)-1].ID
			continue
		}
		page = append(page, c.view(now))
	}
	return page, total, next, nil
}

func (f *Filter) compile() (func(*collector, time.Time) bool, error) {
	var all matchers
	var parts []string
	for _, text := range f.Match {
		if !strings.ContainsAny(text, "=~") {
			parts = append(parts, strings.ToLower(text))
			continue
		}
		m, err := parseMatchers([]string{text})
		if err != nil {
			return nil, err
		}
		all = append(all, m...)
	}
	var status func(*collector, time.Time) bool
	switch f.Status {
	case "":
		status = func(*collector, time.Time) bool { return true }
	case "online":
		status = func(c *collector, now time.Time) bool { return c.online(now) }
	case "offline":
		status = func(c *collector, now time.Time) bool { return !c.online(now) }
	case "pending":
		status = func(c *collector, now time.Time) bool { return c.online(now) && c.progress() == pending }
	case "conflict":
		status = func(c *collector, now time.Time) bool { return c.origins.conflict(now) }
	case "APPLIED", "APPLYING", "FAILED", "UNSET":
		status = func(c *collector, _ time.Time) bool { return c.Status.String() == f.Status }
	default:
		return nil, fmt.Errorf("status: %q is not known; use APPLIED, APPLYING, FAILED, UNSET, online, offline, pending or conflict", f.Status)
	}
	return func(c *collector, now time.Time) bool {
		for _, part := range parts {
			if !strings.Contains(strings.ToLower(c.ID), part) && !strings.Contains(strings.ToLower(c.Name), part) {
				return false
			}
		}
		return status(c, now) && all.match(c)
	}, nil
}

func (c *collector) view(now time.Time) Collector {
	v := Collector{
		ID: c.ID, Name: c.Name, Version: c.Version, Transport: c.Transport, Address: c.Address,
		Attributes: c.Attributes, FirstSeen: c.FirstSeen.UTC(), LastSeen: c.LastSeen.UTC(),
		Online: c.online(now), Conflict: c.origins.conflict(now),
		Status: c.Status.String(), Error: c.Error, Hash: c.Hash,
		OfferedHash: c.entry.Hash, UpToDate: c.Hash == c.entry.Hash,
		Healthy: c.Healthy, Health: c.HealthText, Pipelines: c.entry.assigned,
	}
	if v.Attributes == nil {
		v.Attributes = map[string]string{}
	}
	if v.Pipelines == nil {
		v.Pipelines = []Assignment{}
	}
	return v
}

// Collector returns one collector with all that is known of it.
func (f *Fleet) Collector(id string) (Collector, error) {
	f.mu.Lock()
	c := f.collectors[id]
	if c == nil {
		f.mu.Unlock()
		return Collector{}, fmt.Errorf("collector %q: %w", id, ErrNotFound)
	}
	f.refresh(c)
	v := c.view(f.now())
	effective, components := c.effective, c.components
	f.mu.Unlock()
	var err error
	if v.Effective, v.Components, err = f.store.details(id); err != nil {
		return Collector{}, fmt.Errorf("collector %q: %w", id, err)
	}
	if effective != nil {
		v.Effective = effective
	}
	if components != nil {
		v.Components = components
	}
	return v, nil
}

// Pipeline is a pipeline as the API shows it.
type Pipeline struct {
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"` // in the file
	// Active: collectors get it where its matchers match. The times are when
	// that ends, if it was forced for a time.
	Active         bool        `json:"active"`
	ActiveUntil    *time.Time  `json:"active_until"`
	InactiveUntil  *time.Time  `json:"inactive_until"`
	Matchers       []string    `json:"matchers"`
	Replaces       []string    `json:"replaces"`
	StableRevision uint64      `json:"stable_revision"`
	Error          string      `json:"error"` // of the file
	Rollout        Rollout     `json:"rollout"`
	Collectors     PipelineUse `json:"collectors"`
	// Content is that of the file as it was read last and Tag what Publish
	// compares, if one pipeline was asked for.
	Content string `json:"content,omitempty"`
	Tag     string `json:"-"`
}

// Rollout is how far a candidate has got.
type Rollout struct {
	Revision uint64     `json:"revision"`
	Stages   []int      `json:"stages"` // percent
	Stage    int        `json:"stage"`  // index in Stages
	Percent  int        `json:"percent"`
	State    string     `json:"state"`
	Reason   string     `json:"reason"`
	Since    *time.Time `json:"since"`
	Wait     string     `json:"wait"` // a duration, between stages
}

// PipelineUse counts online collectors: those that its matchers match, and
// those that are offered it by what became of it.
type PipelineUse struct {
	Matching int `json:"matching"`
	Applied  int `json:"applied"`
	Applying int `json:"applying"`
	Failed   int `json:"failed"`
	Pending  int `json:"pending"`
}

// Pipelines returns all in the order of their names.
func (f *Fleet) Pipelines() []Pipeline {
	f.mu.Lock()
	defer f.mu.Unlock()
	tallies := f.tallies(f.now())
	list := []Pipeline{}
	for _, name := range sortedKeys(f.pipelines) {
		if p := f.pipelines[name]; p.listed() {
			list = append(list, p.view(tallies))
		}
	}
	return list
}

// Pipeline returns one pipeline with its content.
func (f *Fleet) Pipeline(name string) (Pipeline, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pipelines[name]
	if p == nil || !p.listed() {
		return Pipeline{}, fmt.Errorf("pipeline %q: %w", name, ErrNotFound)
	}
	v := p.view(f.tallies(f.now()))
	v.Tag = p.state.FileTag
	for _, r := range p.revisions { // the newest with the file's content
		if contentTag([]byte(r.Content)) == p.state.FileTag {
			v.Content = r.Content
		}
	}
	return v, nil
}

func (p *pipeline) view(tallies map[*entry]*tally) Pipeline {
	v := Pipeline{
		Name: p.name, Error: p.fileError, StableRevision: p.state.Stable,
		Matchers: []string{}, Replaces: []string{}, Rollout: p.rolloutView(),
	}
	if newest := cmp.Or(p.newest(), p.revision(p.state.Rollout.Revision)); newest != nil {
		v.Enabled = newest.definition.enabled
		v.Matchers = append(v.Matchers, newest.definition.texts...)
		v.Replaces = append(v.Replaces, newest.definition.replaces...)
		v.Active = p.newest() != nil && p.active(newest)
	}
	if forced := p.state.Forced; forced != nil && !forced.Until.IsZero() {
		until := forced.Until.UTC()
		if forced.Active {
			v.ActiveUntil = &until
		} else {
			v.InactiveUntil = &until
		}
	}
	var offered tally
	for e, t := range tallies {
		if _, found := slices.BinarySearch(e.matching, p.name); found {
			v.Collectors.Matching += t.total()
		}
		if e.revision(p.name) != 0 {
			offered.add(t)
		}
	}
	v.Collectors.Applied, v.Collectors.Applying = offered[applied], offered[applying]
	v.Collectors.Failed, v.Collectors.Pending = offered[failed], offered[pending]
	return v
}

func (p *pipeline) rolloutView() Rollout {
	r := &p.state.Rollout
	v := Rollout{Revision: r.Revision, Stages: []int{}, Stage: r.Stage, Percent: p.percent(), State: r.State, Reason: r.Reason}
	if candidate := p.revision(r.Revision); candidate != nil {
		v.Stages, v.Wait = candidate.definition.stages, candidate.definition.wait.String()
	}
	if !r.Since.IsZero() {
		since := r.Since.UTC()
		v.Since = &since
	}
	return v
}

// Revision is one content that a pipeline's file had.
type Revision struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Actor    string    `json:"actor"`
	Content  string    `json:"content"`
}

// Revisions returns those of a pipeline that are kept, the newest first.
func (f *Fleet) Revisions(name string) ([]Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pipelines[name]
	if p == nil || !p.listed() {
		return nil, fmt.Errorf("pipeline %q: %w", name, ErrNotFound)
	}
	list := []Revision{}
	for _, r := range slices.Backward(p.revisions) {
		list = append(list, Revision{Revision: r.Number, Time: r.Time.UTC(), Actor: r.Actor, Content: r.Content})
	}
	return list, nil
}

// Audit returns the newest entries of the audit log, the newest first.
func (f *Fleet) Audit(limit int) ([]AuditEntry, error) { return f.store.audit(limit) }

// Summary is the state of all in a few numbers.
type Summary struct {
	Collectors struct {
		Total   int `json:"total"`
		Online  int `json:"online"`
		Applied int `json:"applied"` // of the online ones, as the next two
		Failed  int `json:"failed"`
		Pending int `json:"pending"` // not up to date, or applying
	} `json:"collectors"`
	Pipelines int `json:"pipelines"`
	// Error is what is wrong with the folder or the state file.
	Error string `json:"error"`
	// SaveErrors counts since the start how often the state could not be saved.
	SaveErrors uint64 `json:"-"`
}

// Summary counts.
func (f *Fleet) Summary() Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	var s Summary
	now := f.now()
	s.Collectors.Total, s.SaveErrors = len(f.collectors), f.saveErrors
	for _, c := range f.collectors {
		if !c.online(now) {
			continue
		}
		f.refresh(c)
		s.Collectors.Online++
		switch progress := c.progress(); {
		case c.Status == remoteconf.StatusFailed:
			s.Collectors.Failed++
		case progress == applied:
			s.Collectors.Applied++
		default:
			s.Collectors.Pending++
		}
	}
	for _, p := range f.pipelines {
		if p.listed() {
			s.Pipelines++
		}
	}
	switch {
	case f.saveError != nil:
		s.Error = "the state is not saved: " + f.saveError.Error()
	case f.folderError != nil:
		s.Error = "the folder of pipelines: " + f.folderError.Error()
	}
	return s
}
