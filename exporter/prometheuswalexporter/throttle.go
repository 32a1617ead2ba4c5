package prometheuswalexporter

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// logInterval is how often a message is logged that can concern every sample or
// request.
const logInterval = time.Minute

// throttledLog decides when a message is logged: once in a logInterval, with the
// number of events since it was logged last. It is safe for concurrent use.
type throttledLog struct {
	logger *zap.Logger

	mu     sync.Mutex
	events map[string]*loggedEvents // by key; there are few
}

type loggedEvents struct {
	loggedAt time.Time
	pending  int // events not logged yet
}

func newThrottledLog(logger *zap.Logger) *throttledLog {
	return &throttledLog{logger: logger, events: make(map[string]*loggedEvents)}
}

// due counts n events of a key. It reports whether to log them, and how many
// there are to log.
func (l *throttledLog) due(key string, n int) (int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.events[key]
	if e == nil {
		e = &loggedEvents{}
		l.events[key] = e
	}
	e.pending += n
	now := time.Now()
	if !e.loggedAt.IsZero() && now.Sub(e.loggedAt) < logInterval {
		return 0, false
	}
	n, e.pending, e.loggedAt = e.pending, 0, now
	return n, true
}
