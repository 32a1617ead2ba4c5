package prometheuswalexporter

import (
	"hash/crc32"
	"math"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
)

// door decides which samples of a record are taken, by the rules of Prometheus'
// own appenders (tsdb/agent/db.go and tsdb/head_append.go): an endpoint that
// follows them too would refuse the others, and with them, in remote write 1.0,
// all that is in the same request. It is used under the writer's lock.
type door struct {
	w      *writer
	view   series.View
	latest int64 // in ms: samples beyond don't become their series' newest

	refused [doorReasons]refusedSamples
	late    int // exemplars
}

type refusedSamples struct {
	n     int
	first series.Slot
}

// Why the door refuses a sample.
const (
	doorDuplicate = iota
	doorOutOfOrder
	// A staleness marker that comes after newer samples: a target that went
	// away came back before it was written. Nobody needs to know.
	doorStale
	doorReasons
)

// maxAhead is how far in the future Prometheus takes a sample to be, in a
// scrape and in a write request.
const maxAhead = 10 * time.Minute

func newDoor(w *writer, view series.View) door {
	return door{w: w, view: view, latest: time.Now().Add(maxAhead).UnixMilli()}
}

// admit reports whether the sample is taken, and notes it as its series'
// newest. It removes exemplars that are not to be sent.
func (d *door) admit(p *pending, e *series.Entry, x *pendingExtra) bool {
	sum := checksum(p.v, x)
	if p.t <= e.LastT && !d.admitLate(p, e, x, sum) {
		return false
	}
	// A sample of the distant future is the endpoint's to judge. If it were the
	// newest, the series would have none until then.
	if p.t > e.LastT && p.t <= d.latest {
		e.LastT, e.LastV = p.t, sum
	}
	if x != nil && len(x.Exemplars) > 0 {
		d.admitExemplars(p.slot, e.Generation(), x)
	}
	return true
}

// admitLate is admit for a sample that is not newer than its series' newest.
func (d *door) admitLate(p *pending, e *series.Entry, x *pendingExtra, sum uint32) bool {
	switch {
	case p.t == e.LastT:
		if sum != e.LastV {
			d.refuse(doorDuplicate, p.slot)
		}
		return false
	case p.stale || x.isFloat() && value.IsStaleNaN(p.v):
		d.refuse(doorStale, p.slot)
		return false
	case p.strict, p.ordered && uint64(e.LastT-p.t) >= uint64(d.w.lateness): // the difference may not fit an int64
		d.refuse(doorOutOfOrder, p.slot)
		return false
	}
	return true
}

func (d *door) refuse(why int, slot series.Slot) {
	r := &d.refused[why]
	if r.n++; r.n == 1 {
		r.first = slot
	}
}

// account counts what was refused and says it.
func (d *door) account() {
	tel := d.w.tel
	tel.droppedExemplars(dropOutOfOrder, d.late)
	tel.dropped(dropOutOfOrder, d.refused[doorStale].n)
	d.say(doorDuplicate, dropDuplicate)
	d.say(doorOutOfOrder, dropOutOfOrder)
}

func (d *door) say(why int, reason string) {
	if r := &d.refused[why]; r.n > 0 {
		d.w.tel.refusedAtDoor(reason, r.n, func() string { return d.view.Name(r.first) })
	}
}

// checksum tells a sample's value from another's.
func checksum(v float64, x *pendingExtra) uint32 {
	if !x.isFloat() {
		return crc32.ChecksumIEEE(x.Histogram)
	}
	return floatSum(v)
}

func floatSum(v float64) uint32 { return uint32((math.Float64bits(v) * 0x9E3779B97F4A7C15) >> 32) }

// exemplarID is what tells an exemplar from others, besides its time and value.
type exemplarID struct {
	labels uint64 // hash
	hasTs  bool   // the time is its own, not that of the scrape
}

// lastExemplar is the newest exemplar of a series.
type lastExemplar struct {
	exemplarID
	generation uint32 // of the series' slot
	t          int64
	v          float64
}

// admitExemplars keeps the exemplars that are new to the series, which are in
// order of time.
func (d *door) admitExemplars(slot series.Slot, generation uint32, x *pendingExtra) {
	last, known := d.w.exemplars[slot]
	known = known && last.generation == generation
	kept := x.Exemplars[:0]
	for i, ex := range x.Exemplars {
		this := lastExemplar{x.exemplars[i], generation, ex.T, ex.V}
		switch {
		case known && this.repeats(&last):
		case known && this.isBefore(&last):
			d.late++
		default:
			kept = append(kept, ex)
			last, known = this, true
		}
	}
	x.Exemplars = kept
	if len(kept) > 0 {
		if d.w.exemplars == nil {
			d.w.exemplars = make(map[series.Slot]lastExemplar)
		}
		d.w.exemplars[slot] = last
	}
}

// repeats is Equals of Prometheus' exemplars.
func (x *lastExemplar) repeats(last *lastExemplar) bool {
	return x.labels == last.labels && x.v == last.v && (x.t == last.t || !x.hasTs && !last.hasTs)
}

// isBefore is the order that Prometheus' exemplar storage asks for: of one time,
// several buckets may have exemplars.
func (x *lastExemplar) isBefore(last *lastExemplar) bool {
	if x.t != last.t {
		return x.t < last.t
	}
	return x.v < last.v || x.v == last.v && x.labels < last.labels
}

// forgetExemplars frees those of series that are gone.
func (w *writer) forgetExemplars() {
	for slot, x := range w.exemplars {
		if w.table.Entry(slot).Generation() != x.generation {
			delete(w.exemplars, slot)
		}
	}
}

// isValidExemplar reports whether Prometheus' appenders take the exemplar: label
// names are unique, and the labels have at most 128 characters.
func isValidExemplar(ls labels.Labels) bool {
	if _, dup := ls.HasDuplicateLabelNames(); dup {
		return false
	}
	n := 0
	ls.Range(func(l labels.Label) { n += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value) })
	return n <= exemplar.ExemplarMaxLabelSetLength
}
