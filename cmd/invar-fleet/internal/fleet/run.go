package fleet

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
)

// run does what happens by itself, until the Fleet is closed.
func (f *Fleet) run() {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	poll := time.NewTicker(f.settings.PollInterval)
	defer poll.Stop()
	saveSeen := time.NewTicker(saveSeenInterval)
	defer saveSeen.Stop()
	for {
		select {
		case <-tick.C:
			f.tick()
		case <-poll.C:
			f.readFolder()
		case <-saveSeen.C:
			f.tidy()
		case <-f.stop:
			return
		}
	}
}

// tick ends what was for a limited time and moves rollouts on.
func (f *Fleet) tick() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for _, p := range slices.Clone(f.offers.pipelines) { // changed makes it anew
		if forced := p.state.Forced; forced != nil && !forced.Until.IsZero() && !now.Before(forced.Until) {
			p.state.Forced = nil
			f.open.pipelines[p.name] = true
			f.note(byItself, "expired", p.name, fmt.Sprintf("active: %t is over; the file decides", forced.Active))
			f.changed()
		}
	}
	if f.settled(now) {
		f.stepRollouts(now)
	}
}

// settled tells whether the collectors that were online before a restart had
// the time to come back: a rollout must not go on because those that have not
// applied it yet are not counted.
func (f *Fleet) settled(now time.Time) bool {
	if len(f.returning) > 0 && !now.Before(f.returnBy) {
		f.returning = nil
	}
	return len(f.returning) == 0
}

func (f *Fleet) stepRollouts(now time.Time) {
	running := func(p *pipeline) bool { return p.state.Rollout.State == RolloutRunning }
	if !slices.ContainsFunc(f.offers.pipelines, running) {
		return
	}
	tallies := f.tallies(now)
	for _, p := range slices.Clone(f.offers.pipelines) {
		if !running(p) {
			continue
		}
		before := p.state.Rollout.AppliedSince
		happened := p.step(now, candidateTally(p, tallies), func() *collector { return f.first(p, now) })
		if happened == "" && p.state.Rollout.AppliedSince.Equal(before) {
			continue
		}
		f.open.pipelines[p.name] = true
		f.wakeSaver()
		if happened != "" {
			f.logger.Info("Rollout moved on", zap.String("pipeline", p.name), zap.String("to", happened))
			f.note(byItself, "rollout", p.name, happened)
			f.changed()
		}
	}
}

// complete tells whether all online collectors have applied the candidate and
// only the last wait is left. If another is published in that time, it is the
// one to return to, and not the stable one that nobody has any more.
func (f *Fleet) complete(p *pipeline, now time.Time) bool {
	r := &p.state.Rollout
	if !r.offered() || r.Stage < len(p.revision(r.Revision).definition.stages)-1 {
		return false
	}
	counts := candidateTally(p, f.tallies(now))
	return counts[applied] > 0 && counts[applied] == counts.total()
}

// tallies counts the online collectors by what they are offered. With many
// collectors this is much less to go through afterwards than they are.
func (f *Fleet) tallies(now time.Time) map[*entry]*tally {
	tallies := make(map[*entry]*tally)
	for _, c := range f.collectors {
		if !c.online(now) {
			continue
		}
		f.refresh(c)
		t := tallies[c.entry]
		if t == nil {
			t = new(tally)
			tallies[c.entry] = t
		}
		t[c.progress()]++
	}
	return tallies
}

// candidateTally adds up those that are offered the candidate.
func candidateTally(p *pipeline, tallies map[*entry]*tally) tally {
	var sum tally
	for e, t := range tallies {
		if e.revision(p.name) == p.state.Rollout.Revision {
			sum.add(t)
		}
	}
	return sum
}

func (t *tally) add(other *tally) {
	for i, count := range other {
		t[i] += count
	}
}

// first returns the online collector that comes first in the order of the
// candidate, of those that it is for; nil if it is for none.
func (f *Fleet) first(p *pipeline, now time.Time) *collector {
	candidate := p.candidate()
	if !p.active(candidate) {
		return nil
	}
	var first *collector
	rank := func(c *collector) int { return bucket(c.ID, p.name, candidate.Number) }
	for _, c := range f.collectors {
		if !c.online(now) || !candidate.definition.matchers.match(c) || f.offers.of(c, p).revision(p.name) != candidate.Number {
			continue
		}
		if first == nil || rank(c) < rank(first) || rank(c) == rank(first) && c.ID < first.ID {
			first = c
		}
	}
	return first
}

// tidy forgets collectors that have been away for long, and saves when the
// others were seen.
func (f *Fleet) tidy() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for id, c := range f.collectors {
		if away := now.Sub(c.LastSeen); away >= f.settings.ForgetAfter && !c.online(now) {
			f.forget(id)
			f.note(byItself, "forgot", id, "not seen for "+away.Round(time.Minute).String())
		} else if away < 2*saveSeenInterval {
			f.open.collectors[id] = true
		}
	}
	f.forgetRemoved()
	f.offers.prune(f.collectors, false)
	f.wakeSaver()
}

// keptRemoved is how many pipelines without a file are kept, with their
// revisions, for the case that they come back.
const keptRemoved = 100

func (f *Fleet) forgetRemoved() {
	var removed []*pipeline
	for _, p := range f.pipelines {
		if p.removed() {
			removed = append(removed, p)
		}
	}
	slices.SortFunc(removed, func(a, b *pipeline) int { return b.state.RemovedAt.Compare(a.state.RemovedAt) })
	for _, p := range removed[min(len(removed), keptRemoved):] {
		delete(f.pipelines, p.name)
		f.open.pipelines[p.name] = true
	}
}
