package fleet

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

// serverActor is the actor in the audit log for what the server does on its own.
const serverActor = "invar-fleet"

// keptRemoved is how many pipelines without a file are kept with their revisions,
// in case the file comes back.
const keptRemoved = 100

// state is everything that the fleet knows. The Fleet's mutex guards it. It has no
// lock, goroutine or clock of its own: callers pass the time.
type state struct {
	logger    *zap.Logger
	registry  *registry
	pipelines map[string]*pipeline
	offers    *offers
	changes   *changes
	watchers  *watchers
}

func newState(logger *zap.Logger, maxCollectors int, w *watchers) *state {
	changes, offers := newChanges(), newOffers()
	return &state{
		logger: logger, pipelines: map[string]*pipeline{}, offers: offers, changes: &changes, watchers: w,
		registry: newRegistry(maxCollectors, &changes, offers),
	}
}

// load reads the state file.
func (s *state) load(file *store.Store, now time.Time) error {
	err := file.Load(store.Loader{
		Collector: func(r store.Collector, size int) { s.registry.load(r, size, now) },
		Detail:    s.registry.loadDetail,
		Pipeline: func(name string, p store.Pipeline, revisions []store.Revision) {
			s.loadPipeline(name, p, revisions, now)
		},
	})
	if err != nil {
		return err
	}
	s.registry.awaitReturn(now)
	s.offersChanged()
	return nil
}

// loadPipeline adds a pipeline from the state file. A revision that this version of
// the server cannot read any more is offered to no collector.
func (s *state) loadPipeline(name string, saved store.Pipeline, revisions []store.Revision, now time.Time) {
	p := &pipeline{name: name, saved: saved}
	for _, record := range revisions {
		d, err := parseDefinition(name, []byte(record.Content))
		if err != nil {
			if record.Number == saved.Stable || record.Number == saved.Rollout.Revision {
				p.saved.FileTag = "" // read the file again, and show its error
				s.logger.Error("A revision cannot be read any more", zap.String("pipeline", name), zap.Uint64("revision", record.Number), zap.Error(err))
			}
			d = unreadable()
		}
		p.revisions = append(p.revisions, &revision{record: record, definition: d, isSaved: true})
	}
	r := &p.saved.Rollout
	if p.revision(r.Revision) == nil {
		*r = rollout.Rollout{State: rollout.None}
	}
	r.Since, r.AppliedSince = notAfter(r.Since, now), notAfter(r.AppliedSince, now)
	if forced := p.saved.Forced; forced != nil && forced.Until.Sub(now) > maxForced {
		forced.Until = now.Add(maxForced)
	}
	s.pipelines[name] = p
}

// notAfter returns t, or now if t is later because the clock was put back.
func notAfter(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// offersChanged makes all offers be decided anew, and wakes the watchers.
func (s *state) offersChanged() {
	s.offers.reset(s.pipelines)
	s.offers.prune(s.registry.collectors, whenLarge)
	s.watchers.notify()
}

// listed returns the pipeline with this name, or ErrNotFound.
func (s *state) listed(name string) (*pipeline, error) {
	if p := s.pipelines[name]; p != nil && p.listed() {
		return p, nil
	}
	return nil, fmt.Errorf("pipeline %q: %w", name, ErrNotFound)
}

// collector returns the collector with this id, or ErrNotFound.
func (s *state) collector(id string) (*collector, error) {
	if c := s.registry.collectors[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("collector %q: %w", id, ErrNotFound)
}

// seen takes over what a collector said. The batch is nil if there is nothing to
// wait for. The error is ErrFull.
func (s *state) seen(sighting *Sighting, now time.Time) (Offer, *batch, error) {
	r := s.registry
	c := r.collectors[sighting.ID]
	isNew := c == nil
	if isNew {
		c = r.add(sighting.ID, now)
	}
	effect := c.apply(sighting, now)
	if sighting.detailed() {
		r.accountPending(c)
	}
	if effect == attributesChanged {
		c.entry = nil
	}
	toSave := isNew || effect != nothingNew
	if toSave {
		r.account(c)
		s.offers.refresh(c)
		if err := r.makeRoom(c, now, isNew); err != nil {
			return Offer{}, nil, err
		}
	}
	delete(r.returning, sighting.ID)
	if sighting.reportsFailure() {
		s.recordFailure(c, now)
	}
	s.offers.refresh(c)
	c.offered = c.entry
	if !toSave {
		return c.entry.offer, nil, nil
	}
	s.changes.collector(sighting.ID)
	return c.entry.offer, s.changes.save(), nil
}

// saved notes that a batch was saved, with these revisions by pipeline. Details
// that did not change again are dropped from memory.
func (s *state) saved(b *batch, revisions map[string]map[uint64]bool) {
	for id := range b.collectors {
		if c := s.registry.collectors[id]; c != nil && !s.changes.open.collectors[id] {
			s.registry.detailsSaved(c)
		}
	}
	for name, numbers := range revisions {
		if p := s.pipelines[name]; p != nil {
			for _, r := range p.revisions {
				r.isSaved = r.isSaved || numbers[r.record.Number]
			}
		}
	}
}

// expireForced ends overrides whose time is over.
func (s *state) expireForced(now time.Time) {
	for _, p := range slices.Clone(s.offers.pipelines) { // offersChanged writes to it
		forced := p.saved.Forced
		if forced == nil || forced.Until.IsZero() || now.Before(forced.Until) {
			continue
		}
		p.saved.Forced = nil
		s.changes.pipeline(p.name)
		s.changes.audit(now, serverActor, "expired", p.name, fmt.Sprintf("active: %t is over; the file decides", forced.Active))
		s.offersChanged()
	}
}

// tidy forgets collectors that have been offline for forgetAfter and surplus
// removed pipelines, and saves when the other collectors were seen.
func (s *state) tidy(now time.Time, forgetAfter time.Duration) {
	for id, c := range s.registry.collectors {
		if away := now.Sub(c.record.LastSeen); away >= forgetAfter && !c.online(now) {
			s.registry.forget(c)
			s.changes.audit(now, serverActor, "forgot", id, "not seen for "+away.Round(time.Minute).String())
		} else if away < 2*saveSeenInterval {
			s.changes.collector(id)
		}
	}
	var removed []*pipeline
	for _, p := range s.pipelines {
		if p.removed() {
			removed = append(removed, p)
		}
	}
	slices.SortFunc(removed, func(a, b *pipeline) int { return b.saved.RemovedAt.Compare(a.saved.RemovedAt) })
	for _, p := range removed[min(len(removed), keptRemoved):] {
		delete(s.pipelines, p.name)
		s.changes.pipeline(p.name)
	}
	s.offers.prune(s.registry.collectors, whenLarge)
	s.changes.save()
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
