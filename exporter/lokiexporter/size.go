package lokiexporter

import "sync/atomic"

// requestSize is how large requests are at most. A tenant's rate limit in Loki
// allows bursts of some size, and a request beyond that is never taken: so an
// answer that the rate is exceeded halves the size, and every accepted request
// raises it again.
type requestSize struct {
	most    int64
	lowered atomic.Int64 // 0: not lowered
}

// leastRequestSize is below any sensible burst.
const leastRequestSize = 16 << 10

func (s *requestSize) now() int {
	if n := s.lowered.Load(); n > 0 {
		return int(n)
	}
	return int(s.most)
}

func (s *requestSize) halve() {
	s.lowered.Store(max(int64(s.now())/2, leastRequestSize))
}

func (s *requestSize) raise() {
	n := s.lowered.Load()
	if n == 0 {
		return
	}
	if n += n/8 + 1; n >= s.most {
		n = 0
	}
	s.lowered.Store(n)
}
