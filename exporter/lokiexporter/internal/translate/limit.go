package translate

import (
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Limit watches how many values a label takes: every pair of labels is a stream
// that Loki has to keep open, so a label with ever new values (a request's ID, a
// user) makes Loki slow and expensive, and finally refuse streams.
// It is safe for concurrent use.
type Limit struct {
	// Max is how many values a label may take within a Window.
	Max int
	// Drop takes further values out of the labels; they are sent as structured
	// metadata. Without it they are kept, and only Warn tells.
	Drop   bool
	Window time.Duration
	Now    func() time.Time
	// Warn is called once for a label whose values are too many.
	Warn func(label, value string)

	mu    sync.Mutex
	since time.Time
	// values and warned are by hashes of labels and values, because senders decide
	// how long these are, and by hints how many labels there are.
	values map[uint64]map[uint64]struct{}
	warned map[uint64]struct{}
}

// maxLimitedLabels is how many labels are watched. Those beyond are treated as if
// their values were too many.
const maxLimitedLabels = 1000

// admit reports whether the value may be that of the label.
func (l *Limit) admit(label, value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.Now(); l.values == nil || now.Sub(l.since) >= l.Window {
		l.since, l.values = now, map[uint64]map[uint64]struct{}{}
	}
	id, hash := xxhash.Sum64String(label), xxhash.Sum64String(value)
	known := l.values[id]
	if known == nil {
		if len(l.values) >= maxLimitedLabels {
			return !l.Drop
		}
		known = map[uint64]struct{}{}
		l.values[id] = known
	}
	if _, ok := known[hash]; ok {
		return true
	}
	if len(known) < l.Max {
		known[hash] = struct{}{}
		return true
	}
	if _, warned := l.warned[id]; !warned && len(l.warned) < maxLimitedLabels {
		if l.warned == nil {
			l.warned = map[uint64]struct{}{}
		}
		l.warned[id] = struct{}{}
		l.Warn(label, value)
	}
	return !l.Drop
}
