package fleet

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// States of a rollout.
const (
	RolloutNone    = "none"
	RolloutRunning = "running"
	RolloutPaused  = "paused"
	RolloutHalted  = "halted"
	RolloutDone    = "done"
)

// rollout hands a revision, the candidate, to a growing share of the collectors.
//
//	publish ─▶ running ── last stage passed ─▶ done (the candidate is stable)
//	            │  ▲ │
//	      pause │  │ │ more than max_failed FAILED
//	            ▼  │ ▼        resume
//	         paused  halted ─────────▶ running
//	                 (withdrawn: all are offered the stable revision)
type rollout struct {
	Revision uint64 `json:"revision"`
	State    string `json:"state"`
	Reason   string `json:"reason,omitempty"`
	Stage    int    `json:"stage"`
	// Since is when the stage, or the state, began.
	Since time.Time `json:"since,omitzero"`
	// AppliedSince is when all that have the candidate had applied it first.
	AppliedSince time.Time `json:"applied_since,omitzero"`
	// Canary gets the candidate where the percentage comes to nobody.
	Canary string `json:"canary,omitempty"`
	// Failed are the ids of collectors that reported FAILED.
	Failed []string `json:"failed,omitempty"`
}

// offered tells whether any collector is offered the candidate.
func (r *rollout) offered() bool { return r.State == RolloutRunning || r.State == RolloutPaused }

// percent returns the share of collectors that the candidate is for.
func (p *pipeline) percent() int {
	r := &p.state.Rollout
	switch {
	case r.State == RolloutDone:
		return 100
	case !r.offered():
		return 0
	}
	stages := p.revision(r.Revision).definition.stages
	return stages[min(r.Stage, len(stages)-1)]
}

func (p *pipeline) inCohort(id string) bool {
	r := &p.state.Rollout
	return r.Canary == id || bucket(id, p.name, r.Revision) < p.percent()
}

// tally counts collectors by how far they are with what they are offered.
type tally [progresses]int

func (t tally) total() int {
	n := 0
	for _, count := range t {
		n += count
	}
	return n
}

// step moves the pipeline's rollout on as far as it has got, and returns what
// happened, for the audit log, or "". counts is of the online collectors that
// are offered the candidate; eligible tells, where there are none, whether any
// would be with a larger share.
func (p *pipeline) step(now time.Time, counts tally, eligible func() *collector) string {
	r := &p.state.Rollout
	if r.State != RolloutRunning {
		return ""
	}
	began := r.Since
	if total := counts.total(); total > 0 {
		if counts[applied] == 0 || counts[applied]+counts[failed] < total {
			return ""
		}
		if r.AppliedSince.IsZero() {
			r.AppliedSince = now
		}
		began = r.AppliedSince
	} else if first := eligible(); first != nil {
		r.Canary = first.ID
		return fmt.Sprintf("revision %d: %s goes first", r.Revision, first.ID)
	}
	candidate := p.revision(r.Revision).definition
	if now.Sub(began) < candidate.wait {
		return ""
	}
	r.Since, r.AppliedSince = now, time.Time{}
	if r.Stage+1 < len(candidate.stages) {
		r.Stage++
		return fmt.Sprintf("revision %d: %d %%", r.Revision, candidate.stages[r.Stage])
	}
	p.state.Stable, r.State, r.Canary, r.Failed = r.Revision, RolloutDone, "", nil
	return fmt.Sprintf("revision %d is in force for all", r.Revision)
}

// fail notes that a collector reported FAILED for a set with the candidate, and
// tells whether that was one too many. The candidate is withdrawn then.
func (p *pipeline) fail(c *collector, now time.Time) bool {
	r := &p.state.Rollout
	r.Failed = append(r.Failed, c.ID)
	if len(r.Failed) <= p.revision(r.Revision).definition.maxFailed {
		return false
	}
	who := c.ID
	if c.Name != "" && c.Name != c.ID {
		who = c.Name + " (" + c.ID + ")"
	}
	r.State, r.Since, r.AppliedSince, r.Canary = RolloutHalted, now, time.Time{}, ""
	r.Reason = fmt.Sprintf("%s FAILED: %s", who, cut(c.Error, 1000))
	return true
}

// blamed returns those of the candidates in a failed set that the failure may be
// of: the ones that the collector's error names; none if it names others of the
// set only; all if it names no pipeline.
func blamed(e *entry, candidates []*pipeline, text string) []*pipeline {
	var named []*pipeline
	for _, p := range candidates {
		if mentions(text, p.name) {
			named = append(named, p)
		}
	}
	if len(named) > 0 {
		return named
	}
	if slices.ContainsFunc(e.assigned, func(a Assignment) bool { return mentions(text, a.Name) }) {
		return nil
	}
	return candidates
}

// mentions tells whether name is in text as a word of its own.
func mentions(text, name string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], name)
		if i < 0 {
			return false
		}
		i += from
		end := i + len(name)
		if (i == 0 || !inName(text[i-1])) && (end == len(text) || !inName(text[end])) {
			return true
		}
		from = i + 1
	}
}

func inName(b byte) bool {
	return b == '_' || b == '-' || '0' <= b && b <= '9' || 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z'
}
