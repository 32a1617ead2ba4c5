package rwsink

import "hash/maphash"

// Marks counts samples and histograms by their order. It needs KeepMarks.
type Marks struct {
	Series int
	// Distinct are those newer than all earlier ones of their series.
	Distinct int64
	// Repeated are all others: sent again, or late. The number of different samples
	// received is between Distinct and Distinct + Repeated.
	Repeated int64
	// Stale are staleness markers. They are not counted in Distinct or Repeated.
	Stale int64
}

// Marks returns the counts so far.
func (s *Sink) Marks() Marks {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.marks.total
	m.Series = len(s.marks.newest)
	return m
}

// marks identifies series by a 64-bit hash of their labels. Among a million series, the
// probability of a collision is one in 37 million.
type marks struct {
	seed   maphash.Seed
	newest map[uint64]int64
	total  Marks
}

func (m *marks) init() {
	m.seed = maphash.MakeSeed()
	m.newest = map[uint64]int64{}
}

func (m *marks) add(r *request) {
	var h maphash.Hash
	h.SetSeed(m.seed)
	for i := range r.series {
		s := &r.series[i]
		h.Reset()
		for _, l := range s.labels {
			_, _ = h.Write(l.name)
			_ = h.WriteByte(0xff) // not in UTF-8
			_, _ = h.Write(l.value)
			_ = h.WriteByte(0xff)
		}
		key := h.Sum64()
		for _, p := range s.samples {
			if p.Stale() {
				m.total.Stale++
				continue
			}
			m.mark(key, p.T)
		}
		for i := range s.histograms {
			m.mark(key, s.histograms[i].T)
		}
	}
}

func (m *marks) mark(key uint64, t int64) {
	if newest, ok := m.newest[key]; ok && t <= newest {
		m.total.Repeated++
		return
	}
	m.newest[key] = t
	m.total.Distinct++
}
