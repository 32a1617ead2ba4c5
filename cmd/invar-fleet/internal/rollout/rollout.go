// Package rollout has the rules of rollouts: how a new revision of a pipeline
// reaches more and more collectors, when it waits, and when it is withdrawn.
//
// Rules are functions of the rollout, its plan, what the collectors report and
// the time. They keep no state and read no clock. They return the next state and
// leave their arguments as they are.
package rollout

import (
	"fmt"
	"slices"
	"time"
)

// State is where a rollout stands. Its values are saved and part of the API.
type State string

// The states of a rollout:
//
//	Start ──▶ Running ── last stage passed ─▶ Done (the candidate is stable)
//	           │  ▲ │
//	     Pause │  │ │ Fail, more than MaxFailed
//	           ▼  │ ▼        Resume
//	        Paused  Halted ─────────▶ Running
//	                (withdrawn: all collectors are offered the stable revision)
const (
	None    State = "none"
	Running State = "running"
	Paused  State = "paused"
	Halted  State = "halted"
	Done    State = "done"
)

// Plan is how a revision wants to be rolled out.
type Plan struct {
	// Stages are percentages of the collectors, ascending. The last is 100.
	Stages []int
	// Wait is how long a stage lasts after all its collectors have applied the
	// candidate.
	Wait time.Duration
	// MaxFailed is how many collectors may report FAILED. One more halts the
	// rollout.
	MaxFailed int
}

// Rollout hands a revision, the candidate, to a growing share of the collectors.
// It is saved as JSON.
type Rollout struct {
	Revision uint64 `json:"revision"`
	State    State  `json:"state"`
	// Reason says why the rollout was halted.
	Reason string `json:"reason,omitempty"`
	// Stage is an index into Plan.Stages.
	Stage int `json:"stage"`
	// Since is when the stage or the state began.
	Since time.Time `json:"since,omitzero"`
	// AppliedSince is when every collector of the stage had applied the candidate;
	// zero before that.
	AppliedSince time.Time `json:"applied_since,omitzero"`
	// Canary is the id of a collector that gets the candidate although the
	// percentage selects no collector at all.
	Canary string `json:"canary,omitempty"`
	// Failed are the ids of the collectors that reported FAILED.
	Failed []string `json:"failed,omitempty"`
}

// Start returns a running rollout of revision in its first stage.
func Start(revision uint64, now time.Time) Rollout {
	return Rollout{Revision: revision, State: Running, Since: now}
}

// Offered reports whether the candidate is offered to any collector.
func (r *Rollout) Offered() bool { return r.State == Running || r.State == Paused }

// Percent returns the share of the collectors that are offered the candidate. p is
// only used while it is offered.
func (r *Rollout) Percent(p *Plan) int {
	switch {
	case r.State == Done:
		return 100
	case !r.Offered():
		return 0
	}
	return p.Stages[min(r.Stage, len(p.Stages)-1)]
}

// Includes reports whether the collector with this id is offered the candidate.
func (r *Rollout) Includes(p *Plan, pipeline, id string) bool {
	return r.Canary == id || Position(id, pipeline, r.Revision) < r.Percent(p)
}

// Counts are numbers of online collectors that are offered the candidate, by
// what they report about it.
type Counts struct {
	// Pending collectors have not received the candidate, or say nothing about it.
	Pending, Applying, Applied, Failed int
}

// Total returns the number of collectors.
func (c Counts) Total() int { return c.Pending + c.Applying + c.Applied + c.Failed }

// Add adds the counts of other collectors.
func (c *Counts) Add(other Counts) {
	c.Pending += other.Pending
	c.Applying += other.Applying
	c.Applied += other.Applied
	c.Failed += other.Failed
}

// Event is what a rule did.
type Event int

const (
	// Unchanged means that the rollout is as it was.
	Unchanged Event = iota
	// WaitStarted means that all collectors of the stage have applied the
	// candidate, and Plan.Wait is still to pass.
	WaitStarted
	// CanaryChosen means that the percentage selects no collector, and one was
	// chosen to go first.
	CanaryChosen
	// StageStarted means that the next stage began.
	StageStarted
	// Completed means that the candidate is to be the stable revision.
	Completed
	// FailureNoted means that a collector failed, and the rollout goes on.
	FailureNoted
	// WasHalted means that one collector too many failed. The candidate is
	// withdrawn.
	WasHalted
)

// Step moves a running rollout on as far as the collectors allow. If no online
// collector is offered the candidate, first is the id of the one that would be
// first with a larger share, or "" if there is none. It is not used otherwise.
func Step(r Rollout, p *Plan, counts Counts, first string, now time.Time) (Rollout, Event) {
	if r.State != Running {
		return r, Unchanged
	}
	event, waitingSince := Unchanged, r.Since
	switch {
	case counts.Total() > 0:
		if counts.Applied == 0 || counts.Applied+counts.Failed < counts.Total() {
			return r, Unchanged
		}
		if r.AppliedSince.IsZero() {
			r.AppliedSince, event = now, WaitStarted
		}
		waitingSince = r.AppliedSince
	case first != "":
		r.Canary = first
		return r, CanaryChosen
	}
	if now.Sub(waitingSince) < p.Wait {
		return r, event
	}
	r.Since, r.AppliedSince = now, time.Time{}
	if r.Stage+1 < len(p.Stages) {
		r.Stage++
		return r, StageStarted
	}
	r.State, r.Canary, r.Failed = Done, "", nil
	return r, Completed
}

// Fail notes that the collector with this id reported FAILED for a set with the
// candidate. reason is kept if that halts the rollout. A second report of the
// same collector changes nothing.
func Fail(r Rollout, p *Plan, id, reason string, now time.Time) (Rollout, Event) {
	if !r.Offered() || slices.Contains(r.Failed, id) {
		return r, Unchanged
	}
	r.Failed = append(slices.Clip(r.Failed), id)
	if len(r.Failed) <= p.MaxFailed {
		return r, FailureNoted
	}
	r.State, r.Since, r.AppliedSince, r.Canary = Halted, now, time.Time{}, ""
	r.Reason = reason
	return r, WasHalted
}

// Complete reports whether every online collector has applied the candidate, so
// that only the wait of the last stage is left.
func Complete(r *Rollout, p *Plan, counts Counts) bool {
	return r.Offered() && r.Stage >= len(p.Stages)-1 && counts.Applied > 0 && counts.Applied == counts.Total()
}

// Pause keeps a running rollout at the share that it has reached.
func Pause(r Rollout, now time.Time) (Rollout, error) {
	if r.State != Running {
		return r, fmt.Errorf("its rollout is %s; only a running one can be paused", r.State)
	}
	r.State, r.Since, r.AppliedSince = Paused, now, time.Time{}
	return r, nil
}

// Resume continues a paused or halted rollout with the stage that it was in.
// Earlier failures no longer count.
func Resume(r Rollout, now time.Time) (Rollout, error) {
	if r.State != Paused && r.State != Halted {
		return r, fmt.Errorf("its rollout is %s; only a paused or halted one can be resumed", r.State)
	}
	r.State, r.Since, r.Reason, r.Failed = Running, now, "", nil
	return r, nil
}

// Promote begins the last stage at once. The rollout can still be halted. p is only
// used if there is a candidate.
func Promote(r Rollout, p *Plan, now time.Time) (Rollout, error) {
	if !r.Offered() && r.State != Halted {
		return r, fmt.Errorf("its rollout is %s; there is no candidate to promote", r.State)
	}
	promoted := Start(r.Revision, now)
	promoted.Stage = len(p.Stages) - 1
	return promoted, nil
}
