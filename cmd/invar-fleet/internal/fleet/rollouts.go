package fleet

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
)

// maxReason bounds the error in the reason of a halted rollout, in bytes.
const maxReason = 1000

// recordFailure counts a collector's FAILED report against the rollouts that it is
// about, and halts those with one failure too many.
func (s *state) recordFailure(c *collector, now time.Time) {
	e := s.offers.reported(c)
	if e == nil {
		return
	}
	var candidates []string
	for _, a := range e.assigned {
		p := s.pipelines[a.Name]
		if p == nil || p.removed() {
			continue
		}
		if r := &p.saved.Rollout; r.Offered() && r.Revision == a.Revision && !slices.Contains(r.Failed, c.record.ID) {
			candidates = append(candidates, a.Name)
		}
	}
	if len(candidates) == 0 {
		return
	}
	set := make([]string, len(e.assigned))
	for i, a := range e.assigned {
		set[i] = a.Name
	}
	for _, name := range rollout.Blamed(c.record.Error, set, candidates) {
		s.fail(s.pipelines[name], c, now)
	}
}

func (s *state) fail(p *pipeline, c *collector, now time.Time) {
	who := c.record.ID
	if name := c.record.Name; name != "" && name != who {
		who = name + " (" + who + ")"
	}
	reason := who + " FAILED: " + truncate(c.record.Error, maxReason)
	next, event := rollout.Fail(p.saved.Rollout, p.plan(), c.record.ID, reason, now)
	if event == rollout.Unchanged {
		return
	}
	p.saved.Rollout = next
	s.changes.pipeline(p.name)
	s.changes.save()
	if event == rollout.WasHalted {
		s.logger.Warn("Rollout halted", zap.String("pipeline", p.name), zap.Uint64("revision", next.Revision), zap.String("reason", reason))
		s.changes.audit(now, serverActor, "halted", p.name, fmt.Sprintf("revision %d: %s", next.Revision, reason))
		s.offersChanged()
	}
}

// stepRollouts moves all rollouts on as far as the collectors allow.
func (s *state) stepRollouts(now time.Time) {
	running := func(p *pipeline) bool { return p.saved.Rollout.State == rollout.Running }
	if !slices.ContainsFunc(s.offers.pipelines, running) {
		return
	}
	census := s.census(now)
	for _, p := range slices.Clone(s.offers.pipelines) { // offersChanged writes to it
		if !running(p) {
			continue
		}
		counts, first := census.ofCandidate(p), ""
		if counts.Total() == 0 {
			first = s.firstInOrder(p, now)
		}
		next, event := rollout.Step(p.saved.Rollout, p.plan(), counts, first, now)
		if event == rollout.Unchanged {
			continue
		}
		p.saved.Rollout = next
		if event == rollout.Completed {
			p.saved.Stable = next.Revision
		}
		s.changes.pipeline(p.name)
		s.changes.save()
		if event == rollout.WaitStarted {
			continue // offers stay the same
		}
		details := describe(event, &next, p.plan())
		s.logger.Info("Rollout moved on", zap.String("pipeline", p.name), zap.String("to", details))
		s.changes.audit(now, serverActor, "rollout", p.name, details)
		s.offersChanged()
	}
}

// describe returns an event of rollout.Step for the audit log.
func describe(e rollout.Event, r *rollout.Rollout, p *rollout.Plan) string {
	switch e {
	case rollout.CanaryChosen:
		return fmt.Sprintf("revision %d: %s goes first", r.Revision, r.Canary)
	case rollout.Completed:
		return fmt.Sprintf("revision %d is in force for all", r.Revision)
	}
	return fmt.Sprintf("revision %d: %d %%", r.Revision, r.Percent(p))
}

// firstInOrder returns the id of the online collector that is first in the order of
// the candidate of p, or "" if the candidate is for none of them.
func (s *state) firstInOrder(p *pipeline, now time.Time) string {
	candidate := p.candidate()
	if !p.active(candidate) {
		return ""
	}
	first, firstPosition := "", 0
	for id, c := range s.registry.collectors {
		if !c.online(now) || !candidate.definition.matchers.match(c) || s.offers.decide(c, p).revision(p.name) != candidate.record.Number {
			continue
		}
		position := rollout.Position(id, p.name, candidate.record.Number)
		if first == "" || position < firstPosition || position == firstPosition && id < first {
			first, firstPosition = id, position
		}
	}
	return first
}

// complete reports whether every online collector has applied the candidate of p.
// If another revision is published then, the candidate is the one to return to: no
// collector runs the stable revision any more.
func (s *state) complete(p *pipeline, now time.Time) bool {
	r := &p.saved.Rollout
	return r.Offered() && rollout.Complete(r, p.plan(), s.census(now).ofCandidate(p))
}
