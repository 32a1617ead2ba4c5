package translate

import (
	"sync"
	"time"
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

	mu     sync.Mutex
	since  time.Time
	values map[string]map[string]struct{}
	warned map[string]bool
}

// admit tells whether the value may be that of the label.
func (l *Limit) admit(label, value string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.Now(); l.values == nil || now.Sub(l.since) >= l.Window {
		l.since, l.values = now, map[string]map[string]struct{}{}
	}
	known := l.values[label]
	if known == nil {
		known = map[string]struct{}{}
		l.values[label] = known
	}
	if _, ok := known[value]; ok {
		return true
	}
	if len(known) < l.Max {
		known[string(append([]byte(nil), value...))] = struct{}{} // the value belongs to a batch
		return true
	}
	if !l.warned[label] {
		if l.warned == nil {
			l.warned = map[string]bool{}
		}
		l.warned[label] = true
		l.Warn(label, value)
	}
	return !l.Drop
}
