package fleet

import (
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// keptRevisions is how many revisions of a pipeline are kept, besides those in
// force.
const keptRevisions = 50

// pipeline is one pipeline with its history. The Fleet's mutex guards it.
type pipeline struct {
	name      string
	state     pipelineState
	revisions []*revision // ascending
	// fileError is why the file's present content, whose tag is badTag, is not
	// in force.
	fileError, badTag string
}

// pipelineState is what is saved of a pipeline besides its revisions.
type pipelineState struct {
	// Stable is the revision for all that a rollout does not give the candidate
	// to; 0: none yet.
	Stable uint64 `json:"stable"`
	// Last is the number given last. Numbers are never given again, so that
	// what a collector reports about one is not taken for another.
	Last    uint64    `json:"last"`
	Rollout rollout   `json:"rollout"`
	Forced  *override `json:"forced,omitempty"`
	// FileTag is the contentTag of the file that was read or written last.
	FileTag string `json:"file_tag"`
	// RemovedAt is set while there is no file.
	RemovedAt time.Time `json:"removed_at,omitzero"`
}

// override makes a pipeline active or not whatever its file says.
type override struct {
	Active bool `json:"active"`
	// Until is when the file has its say again; zero: when told so.
	Until time.Time `json:"until,omitzero"`
}

// revision is one content of a pipeline's file.
type revision struct {
	Number  uint64    `json:"revision"`
	Time    time.Time `json:"time"`
	Actor   string    `json:"actor"`
	Content string    `json:"content"`

	definition *definition
	saved      bool
}

func (p *pipeline) removed() bool { return !p.state.RemovedAt.IsZero() }

// revision returns the revision of that number, or nil.
func (p *pipeline) revision(number uint64) *revision {
	i, found := slices.BinarySearchFunc(p.revisions, number, func(r *revision, n uint64) int {
		switch {
		case r.Number < n:
			return -1
		case r.Number > n:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return p.revisions[i]
}

func (p *pipeline) stable() *revision { return p.revision(p.state.Stable) }

// candidate returns the revision that is being rolled out, or nil.
func (p *pipeline) candidate() *revision {
	if !p.state.Rollout.offered() {
		return nil
	}
	return p.revision(p.state.Rollout.Revision)
}

// newest returns the revision that is or is to be in force, or nil.
func (p *pipeline) newest() *revision {
	if r := p.candidate(); r != nil {
		return r
	}
	return p.stable()
}

// active tells whether collectors get r where its matchers match.
func (p *pipeline) active(r *revision) bool {
	if p.state.Forced != nil {
		return p.state.Forced.Active
	}
	return r.definition.enabled
}

// add makes a new revision of content and drops the oldest.
func (p *pipeline) add(content []byte, d *definition, actor string, now time.Time) *revision {
	p.state.Last++
	r := &revision{Number: p.state.Last, Time: now, Actor: actor, Content: string(content), definition: d}
	p.revisions = append(p.revisions, r)
	for i := 0; len(p.revisions) > keptRevisions && i < len(p.revisions); {
		if n := p.revisions[i].Number; n == p.state.Stable || n == p.state.Rollout.Revision || n == r.Number {
			i++
			continue
		}
		p.revisions = slices.Delete(p.revisions, i, i+1)
	}
	return r
}

// bucket returns where a collector stands in a rollout, from 0 to 99: those
// below the percentage get the candidate. Every revision has an order of its
// own, so that it is not always the same collectors that go first.
func bucket(id, pipeline string, revision uint64) int {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(id)
	_, _ = d.WriteString("\x00")
	_, _ = d.WriteString(pipeline)
	number := [...]byte{0, byte(revision >> 24), byte(revision >> 16), byte(revision >> 8), byte(revision)}
	_, _ = d.Write(number[:])
	return int(d.Sum64() % 100)
}
