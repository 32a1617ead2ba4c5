package fleet

import (
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// progress is how far a collector is with what it is offered.
type progress int

const (
	pending progress = iota
	applying
	applied
	failed
)

// progress returns how far the collector is with its entry, which must be up to
// date.
func (c *collector) progress() progress {
	if c.record.Hash != c.entry.offer.Hash {
		return pending
	}
	switch c.record.Status {
	case remoteconf.StatusApplied:
		return applied
	case remoteconf.StatusApplying:
		return applying
	case remoteconf.StatusFailed:
		return failed
	}
	if c.record.Hash == "" {
		return applied // nothing is offered, and nothing was received
	}
	return pending
}

// census counts the online collectors by what they are offered. There are far fewer
// entries than collectors, so it is cheap to add up for many pipelines.
type census map[*entry]*rollout.Counts

// census counts the online collectors.
func (s *state) census(now time.Time) census {
	counted := make(census)
	for _, c := range s.registry.collectors {
		if !c.online(now) {
			continue
		}
		s.offers.refresh(c)
		counts := counted[c.entry]
		if counts == nil {
			counts = new(rollout.Counts)
			counted[c.entry] = counts
		}
		switch c.progress() {
		case pending:
			counts.Pending++
		case applying:
			counts.Applying++
		case applied:
			counts.Applied++
		case failed:
			counts.Failed++
		}
	}
	return counted
}

// ofCandidate returns the counts of the collectors that are offered the candidate
// of p.
func (c census) ofCandidate(p *pipeline) rollout.Counts {
	var sum rollout.Counts
	for e, counts := range c {
		if e.revision(p.name) == p.saved.Rollout.Revision {
			sum.Add(*counts)
		}
	}
	return sum
}
