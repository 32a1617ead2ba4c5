package rwsink

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Order counts violations of the order of samples within a series. It needs KeepLedger.
type Order struct {
	// Duplicates are samples whose series already had a sample with that timestamp.
	Duplicates int64
	// Conflicts are the duplicates with a different value. They need Options.Values.
	Conflicts int64
	// Late are samples older than the newest sample of their series, except for
	// duplicates within Options.Tail.
	Late int64
	// Examples describe the first of those in Conflicts and Late.
	Examples []string
}

const maxExamples = 10

// Order returns the violations so far. Samples and histograms of a series are checked
// separately.
func (s *Sink) Order() Order {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.ledger.order
	o.Examples = slices.Clone(o.Examples)
	return o
}

// Series returns the samples of every series in the order of their arrival,
// without duplicates, by the series' canonical form. Without Options.Values,
// only their timestamps are set.
func (s *Sink) Series() map[string][]Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return collect(s, func(r *record) []Sample {
		out := make([]Sample, len(r.samples.times))
		for i, t := range r.samples.times {
			out[i].T = t
		}
		copy(out, r.values)
		return out
	})
}

// Histograms returns the native histograms of every series that has any, in
// the order of their arrival, without duplicates.
func (s *Sink) Histograms() map[string][]Histogram {
	s.mu.Lock()
	defer s.mu.Unlock()
	return collect(s, func(r *record) []Histogram { return slices.Clone(r.hists) })
}

// Exemplars returns the exemplars of every series that has any, in the order of their
// arrival, including duplicates.
func (s *Sink) Exemplars() map[string][]Exemplar {
	s.mu.Lock()
	defer s.mu.Unlock()
	return collect(s, func(r *record) []Exemplar { return slices.Clone(r.exemplars) })
}

// Metadata returns the newest metadata, by the name of the family if it was sent with
// 1.0, and by the canonical form of the series if it was sent with 2.0.
func (s *Sink) Metadata() (families, series map[string]Metadata) {
	s.mu.Lock()
	defer s.mu.Unlock()
	series = map[string]Metadata{}
	for name, r := range s.ledger.series {
		if r.meta != (Metadata{}) {
			series[name] = r.meta
		}
	}
	return maps.Clone(s.ledger.families), series
}

// collect returns the results of get for all series, without empty ones.
func collect[T any](s *Sink, get func(*record) []T) map[string][]T {
	out := map[string][]T{}
	for name, r := range s.ledger.series {
		if found := get(r); len(found) > 0 {
			out[name] = found
		}
	}
	return out
}

// ledger holds everything that was received.
type ledger struct {
	opts     Options
	series   map[string]*record
	families map[string]Metadata
	order    Order
	key      []byte // of the series being looked up
}

// record is one series.
type record struct {
	samples   timeline
	values    []Sample // like samples.times, with Options.Values
	histTimes timeline
	hists     []Histogram // like histTimes.times
	exemplars []Exemplar
	meta      Metadata
}

func (l *ledger) init(opts Options) {
	l.opts = opts
	l.series, l.families = map[string]*record{}, map[string]Metadata{}
}

func (l *ledger) add(r *request) {
	for _, f := range r.families {
		l.families[f.name] = f.meta
	}
	for i := range r.series {
		l.takeSeries(&r.series[i])
	}
}

func (l *ledger) takeSeries(s *series) {
	l.key = appendKey(l.key[:0], s.labels)
	r := l.series[string(l.key)]
	if r == nil {
		r = &record{}
		l.series[string(l.key)] = r
	}
	for _, p := range s.samples {
		at, isNew := l.place(&r.samples, p.T)
		switch {
		case isNew && l.opts.Values:
			r.values = append(r.values, p)
		case !isNew && l.opts.Values && math.Float64bits(r.values[at].V) != math.Float64bits(p.V):
			l.order.Conflicts++
			l.example("value %v at %d, had %v", p.V, p.T, r.values[at].V)
		}
	}
	for i := range s.histograms {
		if _, isNew := l.place(&r.histTimes, s.histograms[i].T); isNew {
			r.hists = append(r.hists, s.histograms[i])
		}
	}
	r.exemplars = append(r.exemplars, s.exemplars...)
	if s.meta != (Metadata{}) {
		r.meta = s.meta
	}
}

// place adds a timestamp to a timeline, or returns the position it already has.
func (l *ledger) place(tl *timeline, t int64) (at int, isNew bool) {
	newest := tl.newest
	at, verdict := tl.place(t, l.opts.Tail)
	switch verdict {
	case inOrder:
		return at, true
	case outOfOrder:
		l.order.Late++
		l.example("%d came after %d", t, newest)
		return at, true
	case resent:
		l.order.Duplicates++
	case resentLate:
		l.order.Duplicates++
		l.order.Late++
		l.example("%d came again after %d", t, newest)
	}
	return at, false
}

// example records a violation by the series in l.key.
func (l *ledger) example(format string, args ...any) {
	if len(l.order.Examples) < maxExamples {
		l.order.Examples = append(l.order.Examples, string(l.key)+": "+fmt.Sprintf(format, args...))
	}
}

// timeline is a series' timestamps in the order of their first arrival.
type timeline struct {
	times  []int64
	newest int64
	mixed  bool // times is not ascending
}

type verdict int

const (
	inOrder    verdict = iota
	outOfOrder         // older than the newest, never seen before
	resent             // seen, one of the newest
	resentLate         // seen, not one of the newest
)

func (tl *timeline) place(t int64, tail int) (at int, v verdict) {
	if len(tl.times) == 0 || t > tl.newest {
		tl.times, tl.newest = append(tl.times, t), t
		return len(tl.times) - 1, inOrder
	}
	at, found := tl.find(t)
	switch {
	case !found:
		tl.times, tl.mixed = append(tl.times, t), true
		return len(tl.times) - 1, outOfOrder
	case len(tl.times)-at > tail:
		return at, resentLate
	default:
		return at, resent
	}
}

func (tl *timeline) find(t int64) (at int, found bool) {
	if !tl.mixed {
		return slices.BinarySearch(tl.times, t)
	}
	at = slices.Index(tl.times, t)
	return at, at >= 0
}
