package queue

import (
	"hash/crc32"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/value"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
)

// MaxAhead is how far in the future Prometheus accepts a sample, in a scrape
// and in a write request.
const MaxAhead = 10 * time.Minute

// admission decides which samples of a record are accepted, by the rules of
// Prometheus' own appenders (tsdb/agent/db.go and tsdb/head_append.go): an
// endpoint that follows them would refuse the others, and with them, in remote
// write 1.0, the whole request. It is used with the queue's mutex locked.
type admission struct {
	window    int64 // in ms, see WithinWindow
	observer  Observer
	exemplars exemplarIndex

	// Of the record at hand.
	view          series.View
	latest        int64 // in ms; later samples don't become the newest of their series
	refused       [refusals]refusedSamples
	lateExemplars int
}

// refusal is why a sample is not accepted.
type refusal int

const (
	refusedDuplicate refusal = iota
	refusedOutOfOrder
	// refusedStale is for a staleness marker that comes after newer samples: a
	// target went away and came back before the marker was written. That is
	// normal, so it is counted but not reported.
	refusedStale
	refusals
)

type refusedSamples struct {
	n     int
	first series.Slot
}

// begin starts a record.
func (a *admission) begin(view series.View, now time.Time) {
	a.view, a.latest = view, now.Add(MaxAhead).UnixMilli()
	a.refused, a.lateExemplars = [refusals]refusedSamples{}, 0
}

// admit reports whether the sample is accepted, and notes it as the newest of
// its series. It removes exemplars that are not to be sent.
func (a *admission) admit(p *Sample, e *series.Entry, x *Extra) bool {
	sum := checksum(p.V, x)
	if p.T <= e.LastT && !a.admitLate(p, e, x, sum) {
		return false
	}
	// A sample of the distant future is for the endpoint to judge. If it became
	// the newest, no other sample of its series would be accepted until then.
	if p.T > e.LastT && p.T <= a.latest {
		e.LastT, e.LastV = p.T, sum
	}
	if x != nil && len(x.Exemplars) > 0 {
		a.lateExemplars += a.exemplars.admit(p.Slot, e.Generation(), x)
	}
	return true
}

// admitLate is admit for a sample that is not newer than the newest of its
// series.
func (a *admission) admitLate(p *Sample, e *series.Entry, x *Extra, sum uint32) bool {
	switch {
	case p.T == e.LastT:
		if sum != e.LastV {
			a.refuse(refusedDuplicate, p.Slot)
		}
		return false
	case p.Stale || x.isFloat() && value.IsStaleNaN(p.V):
		a.refuse(refusedStale, p.Slot)
		return false
	case p.Order == InOrder,
		p.Order == WithinWindow && uint64(e.LastT-p.T) >= uint64(a.window): // the difference may overflow an int64
		a.refuse(refusedOutOfOrder, p.Slot)
		return false
	}
	return true
}

func (a *admission) refuse(why refusal, slot series.Slot) {
	r := &a.refused[why]
	if r.n++; r.n == 1 {
		r.first = slot
	}
}

// end reports what was refused of the record. The view is still open.
func (a *admission) end() {
	a.observer.DroppedExemplars(DropOutOfOrder, a.lateExemplars)
	a.observer.Dropped(DropOutOfOrder, a.refused[refusedStale].n)
	a.report(refusedDuplicate, DropDuplicate)
	a.report(refusedOutOfOrder, DropOutOfOrder)
	a.view = series.View{}
}

func (a *admission) report(why refusal, reason string) {
	if r := &a.refused[why]; r.n > 0 {
		a.observer.NotAdmitted(reason, r.n, func() string { return a.view.Name(r.first) })
	}
}

// checksum identifies the value of a sample within its series.
func checksum(v float64, x *Extra) uint32 {
	if !x.isFloat() {
		return crc32.ChecksumIEEE(x.Histogram)
	}
	return floatSum(v)
}

func floatSum(v float64) uint32 { return uint32((math.Float64bits(v) * 0x9E3779B97F4A7C15) >> 32) }
