package queue

import "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"

// ExemplarID identifies an exemplar of a series, together with its time and
// value.
type ExemplarID struct {
	Labels uint64 // hash
	HasTs  bool   // the time is the exemplar's own, not that of the scrape
}

// exemplarIndex holds the newest exemplar of each series that has exemplars.
type exemplarIndex map[series.Slot]newestExemplar

type newestExemplar struct {
	ExemplarID
	generation uint32 // of the series' slot
	t          int64
	v          float64
}

// admit removes the exemplars of x that are not new to the series. They are in
// order of time. It returns how many are older than the newest; repeated ones
// are not counted.
func (ix *exemplarIndex) admit(slot series.Slot, generation uint32, x *Extra) (late int) {
	last, known := (*ix)[slot]
	known = known && last.generation == generation
	kept := x.Exemplars[:0]
	for i, ex := range x.Exemplars {
		this := newestExemplar{x.ExemplarIDs[i], generation, ex.T, ex.V}
		switch {
		case known && this.repeats(&last):
		case known && this.isBefore(&last):
			late++
		default:
			kept = append(kept, ex)
			last, known = this, true
		}
	}
	x.Exemplars = kept
	if len(kept) > 0 {
		if *ix == nil {
			*ix = make(exemplarIndex)
		}
		(*ix)[slot] = last
	}
	return late
}

// repeats reports what Equals of Prometheus' exemplars does.
func (x *newestExemplar) repeats(last *newestExemplar) bool {
	return x.Labels == last.Labels && x.v == last.v && (x.t == last.t || !x.HasTs && !last.HasTs)
}

// isBefore compares as Prometheus' exemplar storage does: several buckets may
// have exemplars of one time.
func (x *newestExemplar) isBefore(last *newestExemplar) bool {
	if x.t != last.t {
		return x.t < last.t
	}
	return x.v < last.v || x.v == last.v && x.Labels < last.Labels
}

// sweep forgets the exemplars of series that are gone.
func (ix exemplarIndex) sweep(table *series.Table) {
	for slot, x := range ix {
		if table.Entry(slot).Generation() != x.generation {
			delete(ix, slot)
		}
	}
}
