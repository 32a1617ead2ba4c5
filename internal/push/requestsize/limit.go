// Package requestsize finds out how large a request may be for an endpoint whose
// rate limit does not say.
package requestsize

import "sync/atomic"

// Limit is how large requests are at most, in bytes. A tenant's rate limit in
// Loki or Pyroscope allows bursts of some size, and a request beyond that is
// never taken: so an answer that the rate is exceeded halves the size, and every
// accepted request raises it again. Its methods may be called concurrently.
type Limit struct {
	most    int64
	lowered atomic.Int64 // 0: not lowered
}

// least is below any sensible burst.
const least = 16 << 10

// New returns a limit that is never above most, which is what it begins with.
func New(most int64) *Limit { return &Limit{most: most} }

// Now is the limit as it is, in bytes.
func (l *Limit) Now() int {
	if n := l.lowered.Load(); n > 0 {
		return int(n)
	}
	return int(l.most)
}

// Halve is for an answer that the rate is exceeded. 16 KiB is the end of it.
func (l *Limit) Halve() {
	l.lowered.Store(max(int64(l.Now())/2, least))
}

// Raise is for an accepted request.
func (l *Limit) Raise() {
	n := l.lowered.Load()
	if n == 0 {
		return
	}
	if n += n/8 + 1; n >= l.most {
		n = 0
	}
	l.lowered.Store(n)
}
