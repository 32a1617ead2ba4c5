package translate

import (
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Limit limits the number of values of each label. Loki keeps a stream for every
// combination of values, so a label with ever new values (the ID of a request, a
// user) makes Loki slow and expensive, until it refuses streams. The methods may be
// called concurrently; the fields must not change after the first call.
type Limit struct {
	// Max is the number of values that a label may have within a Window.
	Max int
	// Drop sends further values as structured metadata instead of labels. Without
	// it they stay labels, and only Warn is called.
	Drop   bool
	Window time.Duration
	Now    func() time.Time
	// Warn is called once for each label with more values.
	Warn func(label, value string)

	mu    sync.Mutex
	since time.Time
	// values and warned have hashes, because senders choose the length of labels and
	// values, and by hints the number of labels.
	values map[uint64]map[uint64]struct{}
	warned map[uint64]struct{}
}

// maxLimitedLabels is the number of labels whose values are counted. Other labels
// are treated as if they had too many values.
const maxLimitedLabels = 1000

// admit reports whether the label may have the value.
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
