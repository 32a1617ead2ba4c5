package fleet

import (
	"slices"
	"strconv"
	"strings"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// Assignment is a pipeline that a collector should run.
type Assignment struct {
	Name     string
	Revision uint64
}

// entry is what a number of collectors are offered. It is not changed.
type entry struct {
	offer    Offer
	assigned []Assignment // in the order of names
	// matching are the names of the pipelines whose matchers match, active or not.
	matching []string
	size     int // bytes of memory
}

// revision returns the revision of a pipeline in the entry, or 0 if the pipeline is
// not in it.
func (e *entry) revision(pipeline string) uint64 {
	i, found := slices.BinarySearchFunc(e.assigned, pipeline, func(a Assignment, name string) int {
		return strings.Compare(a.Name, name)
	})
	if !found {
		return 0
	}
	return e.assigned[i].Revision
}

const (
	// maxEntries is how many entries are kept that no collector has.
	maxEntries = 1024
	// entryOverhead and assignmentOverhead are the bytes of memory that an entry
	// takes, and each of its pipelines, as measured.
	entryOverhead, assignmentOverhead = 500, 200
)

// offers decides which collector is offered what. Collectors that are offered the
// same share an entry, so that a set is put together and hashed once. The Fleet's
// mutex guards it.
type offers struct {
	pipelines []*pipeline // those with a file, in the order of names
	// generation changes with everything that decisions depend on.
	generation uint64
	entries    map[string]*entry
	byHash     map[string]*entry
	contents   *contents
	size       int // bytes of memory of the entries
	limit      int // of size; beyond it, every prune looks at all entries
	// pruneAt and pruneSize are the number and the size of the entries at which
	// prune looks at them.
	pruneAt, pruneSize int

	// The buffers of one decision.
	chosen   []*revision // by index of pipelines; nil: not for this collector
	matching []int
	key      []byte
}

func newOffers() *offers {
	return &offers{entries: map[string]*entry{}, byHash: map[string]*entry{}, contents: newContents(), limit: defaultLimits.offers}
}

// reset makes all decisions anew, for these pipelines.
func (o *offers) reset(pipelines map[string]*pipeline) {
	o.generation++
	o.pipelines = o.pipelines[:0]
	for _, name := range sortedKeys(pipelines) {
		if p := pipelines[name]; !p.removed() {
			o.pipelines = append(o.pipelines, p)
		}
	}
}

// refresh decides what a collector is to be offered, if that may have changed.
func (o *offers) refresh(c *collector) {
	if c.entry == nil || c.generation != o.generation {
		c.entry, c.generation = o.decide(c, nil), o.generation
	}
}

// reported returns the entry that the collector's report is about, or nil.
func (o *offers) reported(c *collector) *entry {
	for _, e := range []*entry{c.offered, c.entry, o.byHash[c.record.Hash]} {
		if e != nil && e.offer.Hash == c.record.Hash {
			return e
		}
	}
	return nil
}

// decide returns the entry for a collector. If force is not nil, the collector is
// offered the candidate of that pipeline as if the rollout had reached it.
func (o *offers) decide(c *collector, force *pipeline) *entry {
	o.choose(c, force)
	o.key = o.key[:0]
	for i, r := range o.chosen {
		if r != nil {
			o.key = strconv.AppendUint(append(append(o.key, o.pipelines[i].name...), '@'), r.record.Number, 10)
			o.key = append(o.key, ' ')
		}
	}
	o.key = append(o.key, '|')
	for _, i := range o.matching {
		o.key = append(append(o.key, ' '), o.pipelines[i].name...)
	}
	if e, ok := o.entries[string(o.key)]; ok {
		return e
	}
	return o.add()
}

// choose sets o.chosen and o.matching.
func (o *offers) choose(c *collector, force *pipeline) {
	o.chosen, o.matching = o.chosen[:0], o.matching[:0]
	replaces := false
	for i, p := range o.pipelines {
		r, newest := p.stable(), p.newest()
		if candidate := p.candidate(); candidate != nil && (p == force || p.saved.Rollout.Includes(&candidate.definition.plan, p.name, c.record.ID)) {
			r = candidate
		}
		matches := r != nil && r.definition.matchers.match(c)
		if matches && r == newest || r != newest && newest.definition.matchers.match(c) {
			o.matching = append(o.matching, i)
		}
		if !matches || !p.active(r) {
			r = nil
		} else if len(r.definition.replaces) > 0 {
			replaces = true
		}
		o.chosen = append(o.chosen, r)
	}
	if !replaces {
		return
	}
	// Look at all before any is removed: a pipeline that is replaced still replaces
	// others, so that only the first of a chain remains.
	var replaced []int
	for _, r := range o.chosen {
		if r == nil {
			continue
		}
		for _, name := range r.definition.replaces {
			if i := slices.IndexFunc(o.pipelines, func(p *pipeline) bool { return p.name == name }); i >= 0 {
				replaced = append(replaced, i)
			}
		}
	}
	for _, i := range replaced {
		o.chosen[i] = nil
	}
}

// add adds and returns the entry for o.chosen, o.matching and o.key.
func (o *offers) add() *entry {
	e := &entry{offer: Offer{Set: make(remoteconf.Set), contents: o.contents}}
	for i, r := range o.chosen {
		if r != nil {
			name := o.pipelines[i].name
			e.offer.Set[name] = r.definition.config
			e.assigned = append(e.assigned, Assignment{Name: name, Revision: r.record.Number})
		}
	}
	for _, i := range o.matching {
		e.matching = append(e.matching, o.pipelines[i].name)
	}
	e.offer.Hash = e.offer.Set.Hash()
	if same, ok := o.byHash[e.offer.Hash]; ok {
		e.offer = same.offer // share the set
	}
	key := string(o.key)
	e.size = entryOverhead + 2*len(key) + assignmentOverhead*len(e.assigned) + 16*len(e.matching)
	o.size += e.size
	o.entries[key], o.byHash[e.offer.Hash] = e, e
	return e
}

// pruning says when prune looks at the entries.
type pruning bool

const (
	whenLarge pruning = false // if there are many, or they are large
	always    pruning = true
)

// prune drops the entries that no collector has.
func (o *offers) prune(collectors map[string]*collector, when pruning) {
	if when == whenLarge && len(o.entries) <= max(maxEntries, o.pruneAt) && o.size <= min(max(o.limit/8, o.pruneSize), o.limit) {
		return
	}
	used := make(map[*entry]bool)
	for _, c := range collectors {
		used[c.entry], used[c.offered] = true, true
	}
	for key, e := range o.entries {
		if !used[e] {
			delete(o.entries, key)
			o.size -= e.size
		}
	}
	// This looked at all collectors: wait until there is twice as much.
	o.pruneAt, o.pruneSize = 2*len(o.entries), 2*o.size
	for hash, e := range o.byHash {
		if !used[e] {
			delete(o.byHash, hash)
		}
	}
}
