package fleet

import (
	"time"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
)

// registry has the collectors, and accounts for what they make the server keep.
// The Fleet's mutex guards it.
type registry struct {
	maxCollectors int
	limits        limits
	changes       *changes
	offers        *offers

	collectors map[string]*collector
	ids        []string // of collectors, sorted; nil if they have to be sorted anew

	// usage is what the collectors have by the name of the token, memory is what
	// they have together, in bytes.
	usage  map[string]*usage
	memory int
	// pending and stored are the bytes that wait to be saved, and those that are in
	// the state file.
	pending, stored int

	// returning are the collectors that were online before a restart and are not
	// back yet. Until they are, or until returnBy, no rollout moves on.
	returning map[string]bool
	returnBy  time.Time
}

func newRegistry(maxCollectors int, changes *changes, offers *offers) *registry {
	return &registry{
		maxCollectors: maxCollectors, limits: defaultLimits, changes: changes, offers: offers,
		collectors: map[string]*collector{}, usage: map[string]*usage{}, returning: map[string]bool{},
	}
}

// load adds a collector from the state file.
func (r *registry) load(record store.Collector, size int, now time.Time) {
	record.LastSeen = notAfter(record.LastSeen, now)
	c := &collector{record: record}
	c.stored.record = size
	r.collectors[record.ID] = c
	r.stored += size
	r.account(c)
}

// loadDetail accounts for a detail in the state file.
func (r *registry) loadDetail(d store.Detail, id string, size int) {
	c := r.collectors[id]
	if c == nil {
		return
	}
	if d == store.Components {
		c.stored.components += size
	} else {
		c.stored.effective += size
	}
	r.stored += size
}

// awaitReturn expects the collectors back that were online before the restart.
func (r *registry) awaitReturn(now time.Time) {
	var latest time.Time
	for _, c := range r.collectors {
		if c.record.LastSeen.After(latest) {
			latest = c.record.LastSeen
		}
	}
	r.returnBy = now.Add(defaultSilence)
	for id, c := range r.collectors {
		if !c.record.Gone && latest.Sub(c.record.LastSeen) < defaultSilence+saveSeenInterval {
			r.returning[id] = true
		}
	}
}

// settled reports whether the collectors that were online before a restart had the
// time to come back. Before that, a rollout must not move on: collectors that have
// not applied the candidate would not be counted.
func (r *registry) settled(now time.Time) bool {
	if len(r.returning) > 0 && !now.Before(r.returnBy) {
		r.returning = nil
	}
	return len(r.returning) == 0
}

// add adds a collector that was not known.
func (r *registry) add(id string, now time.Time) *collector {
	c := &collector{record: store.Collector{ID: id, FirstSeen: now}}
	r.collectors[id], r.ids = c, nil
	return c
}

// forget removes a collector, and deletes it in the state file.
func (r *registry) forget(c *collector) {
	r.unaccount(c)
	r.pending -= c.pending
	r.stored -= c.stored.total()
	id := c.record.ID
	delete(r.collectors, id)
	delete(r.returning, id)
	r.ids = nil
	r.changes.collector(id)
}

// sortedIDs returns the ids of all collectors. It is valid until the next change.
func (r *registry) sortedIDs() []string {
	if r.ids == nil {
		r.ids = sortedKeys(r.collectors)
	}
	return r.ids
}

// account updates what is counted for a collector.
func (r *registry) account(c *collector) {
	r.unaccount(c)
	token := c.record.Token
	u := r.usage[token]
	if u == nil {
		u = new(usage)
		r.usage[token] = u
	}
	c.memory, c.payer = c.size(), token
	u.collectors++
	u.memory += c.memory
	r.memory += c.memory
}

func (r *registry) unaccount(c *collector) {
	if c.memory == 0 {
		return // it is not counted
	}
	u := r.usage[c.payer]
	u.collectors--
	u.memory -= c.memory
	r.memory -= c.memory
	if u.collectors == 0 {
		delete(r.usage, c.payer)
	}
	c.memory = 0
}

// accountPending updates what is counted for the details of a collector that wait
// to be saved. If there is no room for them they are dropped. The collector reports
// them again when they change.
func (r *registry) accountPending(c *collector) {
	size := 0
	for name, body := range c.effective {
		size += len(name) + len(body)
	}
	for _, name := range c.components {
		size += len(name)
	}
	r.pending += size - c.pending
	c.pending = size
	if r.pending > r.limits.pending {
		r.pending -= size
		c.pending, c.effective, c.components = 0, nil, nil
	}
}

// detailsSaved drops details from memory that are in the state file now.
func (r *registry) detailsSaved(c *collector) {
	c.effective, c.components = nil, nil
	r.accountPending(c)
}

// recordStored sets the size of a part of a collector in the state file, and
// reports whether all collectors are within the limit.
func (r *registry) recordStored(c *collector, part *int, size int) bool {
	if r.collectors[c.record.ID] != c {
		return false // it was forgotten meanwhile
	}
	r.stored += size - *part
	*part = size
	return r.stored <= r.limits.stored
}
