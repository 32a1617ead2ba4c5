package fleet

import (
	"slices"
	"strconv"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// Assignment is a pipeline that a collector should run.
type Assignment struct {
	Name     string `json:"name"`
	Revision uint64 `json:"revision"`
}

// entry is what a number of collectors are offered. It is not changed.
type entry struct {
	Offer
	assigned []Assignment // in the order of names
	// matching are the pipelines, active or not, whose matchers match.
	matching []string
	size     int // bytes of memory
}

// revision returns that of the pipeline in the offer, or 0.
func (e *entry) revision(pipeline string) uint64 {
	i, found := slices.BinarySearchFunc(e.assigned, pipeline, func(a Assignment, name string) int {
		switch {
		case a.Name < name:
			return -1
		case a.Name > name:
			return 1
		}
		return 0
	})
	if !found {
		return 0
	}
	return e.assigned[i].Revision
}

// Content returns the set as one document. It is the same slice for all that
// are offered the set at about the same time, and must not be changed.
func (o Offer) Content() ([]byte, error) {
	if o.contents == nil {
		return o.Set.Content()
	}
	return o.contents.of(o)
}

const (
	// maxEntries is how many different offers are kept at hand, besides those that
	// collectors have.
	maxEntries = 1024
	// entryOverhead and assignmentOverhead are bytes of memory that an entry has,
	// and for each of its pipelines, as measured.
	entryOverhead, assignmentOverhead = 500, 200
)

// offers decides who is offered what. Collectors with the same outcome share an
// entry, so that a set is put together and hashed once.
type offers struct {
	pipelines []*pipeline // those with a file, in the order of names
	entries   map[string]*entry
	byHash    map[string]*entry
	size      int // bytes of memory of the entries
	pruneAt   int // when there are as many entries, or as much
	pruneSize int
	contents  *contents
	limit     int // of size, beyond which it is looked each time
	// The buffers of one decision.
	chosen   []*revision // by index of pipelines; nil: not for this collector
	matching []int
	key      []byte
}

// of decides for a collector. Who has force as an argument is offered that
// pipeline's candidate as if it were its turn.
func (o *offers) of(c *collector, force *pipeline) *entry {
	o.choose(c, force)
	o.key = o.key[:0]
	for i, r := range o.chosen {
		if r != nil {
			o.key = strconv.AppendUint(append(append(o.key, o.pipelines[i].name...), '@'), r.Number, 10)
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

// choose fills in o.chosen and o.matching.
func (o *offers) choose(c *collector, force *pipeline) {
	o.chosen, o.matching = o.chosen[:0], o.matching[:0]
	replaces := false
	for i, p := range o.pipelines {
		r, newest := p.stable(), p.newest()
		if candidate := p.candidate(); candidate != nil && (p == force || p.inCohort(c.ID)) {
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
	// All are looked at before any is taken out: what is replaced itself still
	// stands in for others, so that a chain ends with its first.
	var out []int
	for _, r := range o.chosen {
		if r == nil {
			continue
		}
		for _, name := range r.definition.replaces {
			if i := slices.IndexFunc(o.pipelines, func(p *pipeline) bool { return p.name == name }); i >= 0 {
				out = append(out, i)
			}
		}
	}
	for _, i := range out {
		o.chosen[i] = nil
	}
}

// add makes the entry that o.chosen and o.matching describe.
func (o *offers) add() *entry {
	e := &entry{Offer: Offer{Set: make(remoteconf.Set), contents: o.contents}}
	for i, r := range o.chosen {
		if r != nil {
			name := o.pipelines[i].name
			e.Set[name] = r.definition.config
			e.assigned = append(e.assigned, Assignment{Name: name, Revision: r.Number})
		}
	}
	for _, i := range o.matching {
		e.matching = append(e.matching, o.pipelines[i].name)
	}
	e.Hash = e.Set.Hash()
	if same, ok := o.byHash[e.Hash]; ok {
		e.Offer = same.Offer // one set for both
	}
	key := string(o.key)
	e.size = entryOverhead + 2*len(key) + assignmentOverhead*len(e.assigned) + 16*len(e.matching)
	o.size += e.size
	o.entries[key], o.byHash[e.Hash] = e, e
	return e
}

// prune forgets entries when there are many, or always, other than those in use.
func (o *offers) prune(collectors map[string]*collector, always bool) {
	if !always && len(o.entries) <= max(maxEntries, o.pruneAt) && o.size <= min(max(o.limit/8, o.pruneSize), o.limit) {
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
	// Not again before there are twice as many, as that looks at all collectors.
	o.pruneAt, o.pruneSize = 2*len(o.entries), 2*o.size
	for hash, e := range o.byHash {
		if !used[e] {
			delete(o.byHash, hash)
		}
	}
}
