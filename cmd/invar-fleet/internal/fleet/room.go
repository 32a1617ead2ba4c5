package fleet

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// limits bound what all collectors together make the server keep. What one of them
// can is bounded by Sighting.check and collector.apply.
type limits struct {
	memory int // bytes of what is known of collectors
	offers int // bytes of the different offers that they get
	// pending is bytes that wait to be saved. They are few unless saving fails.
	pending int
	stored  int // bytes in the state file
}

var defaultLimits = limits{memory: 256 << 20, offers: 64 << 20, pending: 64 << 20, stored: 512 << 20}

// maxDetailed is how many collectors may report details at a time. Details are in
// memory until they are saved.
const maxDetailed = 16

// usage is what the collectors of a token have.
type usage struct{ collectors, memory int }

type tokenKey struct{}

// WithToken returns a context for messages that were sent with the token of this
// name.
func WithToken(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, tokenKey{}, name)
}

// TokenOf returns the name that was given to WithToken, or "".
func TokenOf(ctx context.Context) string {
	name, _ := ctx.Value(tokenKey{}).(string)
	return name
}

// Bytes of memory besides texts, as measured.
const (
	collectorOverhead = 700
	attributeOverhead = 80
)

// size returns about how much memory the collector takes, in bytes. It is more
// than 0.
func (c *collector) size() int {
	r := &c.record
	n := collectorOverhead + len(r.ID) + len(r.Name) + len(r.Version) + len(r.Address) + len(r.Hash) + len(r.Error) + len(r.HealthText) + len(r.Token)
	for name, value := range r.Attributes {
		n += attributeOverhead + len(name) + len(value)
	}
	return n
}

// exceeded returns an error that names the limit that is exceeded, or nil.
func (r *registry) exceeded() error {
	r.offers.prune(r.collectors, whenLarge)
	switch {
	case len(r.collectors) > r.maxCollectors:
		return fmt.Errorf("%w: there are %d collectors; --max-collectors permits no more", ErrFull, len(r.collectors)-1)
	case r.memory > r.limits.memory:
		return fmt.Errorf("%w: what is known of %d collectors is more than %d bytes, which is the most that is kept", ErrFull, len(r.collectors), r.limits.memory)
	case r.offers.size > r.limits.offers:
		return fmt.Errorf("%w: %d different sets of pipelines are offered, and no more are kept", ErrFull, len(r.offers.entries))
	}
	return nil
}

// share returns which part of the limits the collectors of a token use.
func (r *registry) share(u *usage) float64 {
	return float64(u.collectors)/float64(r.maxCollectors) + float64(u.memory)/float64(r.limits.memory)
}

// makeRoom forgets collectors until there is room for c, which is registered
// already. The token with the largest share gives way first, beginning with the
// collectors that have been silent longest. For a collector of the same token,
// only those that are offline are forgotten. If there is no room, c is forgotten.
func (r *registry) makeRoom(c *collector, now time.Time, isNew bool) error {
	for {
		err := r.exceeded()
		if err == nil {
			return nil
		}
		silent := r.dispensable(c, now)
		if len(silent) == 0 {
			r.forget(c)
			if isNew {
				delete(r.changes.open.collectors, c.record.ID) // it was never saved
			}
			return err
		}
		n := 1
		if r.offers.size > r.limits.offers { // without one of them, the offers may be the same
			n = 1 + len(silent)/16
		}
		for _, other := range silent[:n] {
			r.forget(other)
		}
		r.offers.prune(r.collectors, always)
	}
}

// dispensable returns the collectors that give way to c, those that have been
// silent longest first.
func (r *registry) dispensable(c *collector, now time.Time) []*collector {
	own := c.record.Token
	payer, largest := own, r.share(r.usage[own])
	for token, u := range r.usage {
		if share := r.share(u); share > largest {
			payer, largest = token, share
		}
	}
	var silent []*collector
	for _, other := range r.collectors {
		if other != c && other.payer == payer && (payer != own || !other.online(now)) {
			silent = append(silent, other)
		}
	}
	slices.SortFunc(silent, func(a, b *collector) int { return a.record.LastSeen.Compare(b.record.LastSeen) })
	return silent
}
