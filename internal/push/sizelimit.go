package push

import "sync/atomic"

// SizeLimit is the present limit of a request, in bytes. The rate limit of a tenant in
// Loki or Pyroscope allows bursts up to a size that the exporter does not know, and a
// larger request is never accepted. So an answer that the rate is exceeded halves the
// limit, and every accepted request raises it again. The methods may be called
// concurrently.
type SizeLimit struct {
	most    int64
	lowered atomic.Int64 // 0: not lowered
}

// minSizeLimit is below any sensible burst, in bytes.
const minSizeLimit = 16 << 10

// NewSizeLimit returns a limit that starts at most and never exceeds it.
func NewSizeLimit(most int64) *SizeLimit { return &SizeLimit{most: most} }

// Now returns the limit, in bytes.
func (l *SizeLimit) Now() int {
	if n := l.lowered.Load(); n > 0 {
		return int(n)
	}
	return int(l.most)
}

// Halve lowers the limit, down to 16 KiB, after an answer that the rate is
// exceeded.
func (l *SizeLimit) Halve() {
	l.lowered.Store(max(int64(l.Now())/2, minSizeLimit))
}

// Raise raises the limit by an eighth after an accepted request.
func (l *SizeLimit) Raise() {
	n := l.lowered.Load()
	if n == 0 {
		return
	}
	if n += n/8 + 1; n >= l.most {
		n = 0
	}
	l.lowered.Store(n)
}
