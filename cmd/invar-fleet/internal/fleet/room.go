package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// limits bound what the collectors make the server keep, all of them together: each
// is bounded by what Sighting.check and collector.take accept.
type limits struct {
	memory int // bytes of what is known of collectors
	offers int // bytes of the different offers that they get
	// pending is bytes that wait to be saved, which is much only while that fails.
	pending int
	stored  int // bytes in the state file
}

var defaultLimits = limits{memory: 256 << 20, offers: 64 << 20, pending: 64 << 20, stored: 512 << 20}

// maxDetailed is how many collectors may report details at a time, which are in
// memory until they are saved.
const maxDetailed = 16

// usage is what the collectors of a token have.
type usage struct{ collectors, memory int }

type tokenKey struct{}

// WithToken returns a context for what is said with the token of this name.
func WithToken(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, tokenKey{}, name)
}

// TokenOf returns the name of the token that WithToken was given, or "".
func TokenOf(ctx context.Context) string {
	name, _ := ctx.Value(tokenKey{}).(string)
	return name
}

// Bytes of memory that things have besides their texts, as measured.
const (
	collectorOverhead = 700
	attributeOverhead = 80
)

// size is about what the record takes of memory, in bytes.
func (r *collectorRecord) size() int {
	n := collectorOverhead + len(r.ID) + len(r.Name) + len(r.Version) + len(r.Address) + len(r.Hash) + len(r.Error) + len(r.HealthText) + len(r.Token)
	for name, value := range r.Attributes {
		n += attributeOverhead + len(name) + len(value)
	}
	return n
}

// weigh accounts for what is known of a collector now. The mutex is held here and
// below.
func (f *Fleet) weigh(c *collector) {
	f.unweigh(c)
	u := f.usage[c.Token]
	if u == nil {
		u = new(usage)
		f.usage[c.Token] = u
	}
	c.weighed, c.weight, c.payer = true, c.size(), c.Token
	u.collectors++
	u.memory += c.weight
	f.memory += c.weight
}

func (f *Fleet) unweigh(c *collector) {
	if !c.weighed {
		return
	}
	u := f.usage[c.payer]
	u.collectors--
	u.memory -= c.weight
	f.memory -= c.weight
	if u.collectors == 0 {
		delete(f.usage, c.payer)
	}
	c.weighed, c.weight = false, 0
}

// setPending accounts for the details of a collector that wait to be saved. If
// there is no room for them they are dropped; the collector reports them again
// when they change.
func (f *Fleet) setPending(c *collector) {
	size := 0
	for name, body := range c.effective {
		size += len(name) + len(body)
	}
	for _, name := range c.components {
		size += len(name)
	}
	f.pending += size - c.pending
	c.pending = size
	if f.pending > f.limits.pending {
		f.pending -= size
		c.pending, c.effective, c.components = 0, nil, nil
	}
}

// crowded returns an error that says what there is too much of, nil if there is
// not.
func (f *Fleet) crowded() error {
	f.offers.prune(f.collectors, false)
	switch {
	case len(f.collectors) > f.settings.MaxCollectors:
		return fmt.Errorf("%w: there are %d collectors; --max-collectors permits no more", ErrFull, len(f.collectors)-1)
	case f.memory > f.limits.memory:
		return fmt.Errorf("%w: what is known of %d collectors is more than %d bytes, which is the most that is kept", ErrFull, len(f.collectors), f.limits.memory)
	case f.offers.size > f.limits.offers:
		return fmt.Errorf("%w: %d different sets of pipelines are offered, and no more are kept", ErrFull, len(f.offers.entries))
	}
	return nil
}

// share is how much of all that there may be the collectors of a token have.
func (f *Fleet) share(u *usage) float64 {
	return float64(u.collectors)/float64(f.settings.MaxCollectors) + float64(u.memory)/float64(f.limits.memory)
}

// makeRoom forgets collectors until there is room for c, which is among them. The
// token that has the most gives way first, of its collectors those that have been
// silent longest; but only those that are away are forgotten for another one of
// the same token. If there is no room c is forgotten.
func (f *Fleet) makeRoom(c *collector, now time.Time, fresh bool) error {
	for {
		err := f.crowded()
		if err == nil {
			return nil
		}
		payer, most := c.Token, f.share(f.usage[c.Token])
		for token, u := range f.usage {
			if share := f.share(u); share > most {
				payer, most = token, share
			}
		}
		var silent []*collector
		for _, other := range f.collectors {
			if other != c && other.payer == payer && (payer != c.Token || !other.online(now)) {
				silent = append(silent, other)
			}
		}
		if len(silent) == 0 {
			f.forget(c.ID)
			if fresh {
				delete(f.open.collectors, c.ID) // it was never saved
			}
			return err
		}
		slices.SortFunc(silent, func(a, b *collector) int { return a.LastSeen.Compare(b.LastSeen) })
		n := 1
		if f.offers.size > f.limits.offers { // that one more is gone may change nothing
			n = 1 + len(silent)/16
		}
		for _, other := range silent[:n] {
			f.forget(other.ID)
		}
		f.offers.prune(f.collectors, true)
	}
}
