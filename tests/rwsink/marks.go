package rwsink

import "hash/maphash"

// Marks is the account of samples and histograms with KeepMarks.
type Marks struct {
	Series int
	// Distinct are those newer than all before them of their series.
	Distinct int64
	// Repeated are all others: sent again, or too late. The number of different
	// ones received is thus between Distinct and Distinct + Repeated.
	Repeated int64
	// Stale are staleness markers, which count nowhere else.
	Stale int64
}

// Marks returns the account so far.
func (s *Sink) Marks() Marks {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.marks.total
	m.Series = len(s.marks.newest)
	return m
}

// marks knows series by a 64-bit hash of their labels: among a million of
// them, two share one with a chance of one in 37 million.
type marks struct {
	seed   maphash.Seed
	newest map[uint64]int64
	total  Marks
}

func (m *marks) init() {
	m.seed = maphash.MakeSeed()
	m.newest = map[uint64]int64{}
}

func (m *marks) take(r *request) {
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
