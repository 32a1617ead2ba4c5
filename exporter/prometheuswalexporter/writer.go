package prometheuswalexporter

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// A record's size is bounded in samples, and in bytes for histograms.
const (
	recordSamples = 8192
	recordBytes   = 4 << 20
	sizeEvery     = 8 // samples, after which the bytes are looked at
)

// errClosed is returned for what comes after Shutdown.
var errClosed = errors.New("the exporter is shut down")

// writer takes committed samples, writes them to the log, and hands them to
// the shards.
//
//	commit ──▶ log (disk) ──────────────┐
//	   │                                │ reader, while not live
//	   └── live ──▶ shards' queues ◀────┘
//
// Live means that the queues have been given all the log holds. When a queue
// is full, the writer stops being live: it only appends to the log, and the
// replayer reads from the cursor on, at the pace of the queues, until it has
// reached the end. Memory is bounded by the queues either way, and as long as
// the endpoint keeps up, the log is never read.
//
// Without a log, because the disk is full or the directory cannot be used,
// live samples are still sent; they are not durable then.
type writer struct {
	table  *series.Table
	tel    *telemetry
	shards []*shard

	// lateness is for how many ms before a series' newest sample scraped ones
	// are taken.
	lateness int64

	// mu orders everything: the log, the hand-over to the shards, and the
	// marks in the series table.
	mu      sync.Mutex
	log     *seglog.Log // nil while the directory cannot be used
	live    bool
	cursor  seglog.Position // the log before it has been handed to the shards
	closed  bool
	logErr  error // of the last append, nil when it went well
	enc     walrecord.Encoder
	segment uint64
	numbers walrecord.Numbers
	epoch   uint32 // what was marked in another one is not defined in the segment
	stage   stage
	// exemplars are the last ones of the series that have some.
	exemplars map[series.Slot]lastExemplar

	behind    chan struct{} // to the replayer: not live any more
	replaying *replayer
}

// pending is a sample between Append and Commit.
type pending struct {
	slot    series.Slot
	family  uint32
	extra   uint32 // number in batch.extras, from 1 on; 0 is none
	strict  bool   // not to be taken if it is older than the series' newest
	ordered bool   // nor if it is older than that by the lateness
	stale   bool   // a histogram that is a staleness marker
	t       int64
	v       float64
}

// pendingExtra is what few samples have, with what tells the exemplars apart.
type pendingExtra struct {
	remotewrite.Extra
	exemplars []exemplarID
}

// isFloat reports whether the sample is none of a histogram. x may be nil.
func (x *pendingExtra) isFloat() bool { return x == nil || x.Histogram == nil }

// batch is what one Commit brings.
type batch struct {
	samples []pending
	extras  []pendingExtra
}

// commit writes a batch to the log and hands it on. The samples are accepted
// if it returns nil: they are in the log, or in the queues of an exporter
// whose log cannot be written. On an error the rest of the batch is lost.
func (w *writer) commit(b *batch) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errClosed
	}
	for rest := b.samples; len(rest) > 0; {
		n, err := w.record(rest, b.extras)
		if err != nil {
			w.tel.dropped(dropNotLogged, len(rest))
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// record handles as many of the samples as fit one record.
func (w *writer) record(samples []pending, extras []pendingExtra) (int, error) {
	logged := w.prepare()
	base := samples[0].t
	n := w.encode(samples, extras, base, logged)
	if w.live && !w.haveRoom() {
		w.live = false
		notify(w.behind)
	}
	if w.enc.Samples() == 0 {
		return n, nil // nothing that is new
	}
	end := w.cursor
	if logged {
		var err error
		if end, err = w.log.Append(w.enc.Record()); err != nil {
			logged = false
			w.failed(err)
		} else {
			w.numbers, w.logErr = w.enc.Numbers(), nil
		}
	}
	if !logged {
		if !w.live {
			w.forgetTimes(samples[:n])
			return 0, fmt.Errorf("the write-ahead log cannot take samples and the endpoint is behind: %w", w.logErr)
		}
		w.tel.notLogged(w.enc.Samples())
		end = w.cursor
	}
	if w.live {
		w.stage.push(w.shards, end, base)
		w.cursor = end
	}
	return n, nil
}

// forgetTimes makes samples that were refused for want of room be taken when
// they come again.
func (w *writer) forgetTimes(samples []pending) {
	for i := range samples {
		if e := w.table.Entry(samples[i].slot); e.LastT == samples[i].t && e.LastT != series.NoSample {
			e.LastT, e.LastV = e.LastT-1, 0
		}
	}
}

// prepare begins a new segment's numbering if the log begins a segment. It
// reports whether the log can be written.
func (w *writer) prepare() bool {
	if w.log == nil {
		return false
	}
	segment, err := w.log.Prepare()
	if err != nil {
		w.failed(err)
		return false
	}
	if segment != w.segment {
		w.segment, w.numbers = segment, walrecord.Numbers{}
		w.epoch++
	}
	return true
}

func (w *writer) failed(err error) {
	w.epoch++ // what the record defined is not there
	w.logErr = err
	w.tel.appendFailed(err)
}

// encode fills the encoder and the stage with the first samples and returns
// how many it dealt with.
func (w *writer) encode(samples []pending, extras []pendingExtra, base int64, logged bool) int {
	view := w.table.View()
	defer view.Close()
	w.enc.Begin(base, w.numbers)
	w.stage.begin(len(w.shards))
	door := newDoor(w, view)
	for i := range samples {
		if i == recordSamples || i%sizeEvery == 0 && w.enc.Size() > recordBytes {
			samples = samples[:i]
			break
		}
		p := &samples[i]
		e := view.Entry(p.slot)
		var x *pendingExtra
		if p.extra != 0 {
			x = &extras[p.extra-1]
		}
		if x == nil && p.t > e.LastT && p.t <= door.latest { // nearly every sample is
			e.LastT, e.LastV = p.t, floatSum(p.v)
		} else if !door.admit(p, e, x) {
			continue
		}
		if p.family != 0 && p.family != e.Family {
			e.Family, e.Mark = p.family, series.Mark{}
		}
		var number uint64
		if logged {
			number = w.define(view, p.slot, e)
		}
		if x == nil || x.IsEmpty() {
			w.enc.Value(number, p.t, p.v)
			w.stage.add(p.slot, p.t, p.v)
			continue
		}
		w.enc.Sample(&walrecord.Sample{
			Series: number, T: p.t, Start: x.Start, V: p.v, Histogram: x.Histogram, Exemplars: x.Exemplars,
		})
		w.stage.addExtra(p.slot, p.t, p.v, &x.Extra)
	}
	door.account()
	return len(samples)
}

// define returns the number of a series in the current segment, defining it
// and what it consists of on first use there.
func (w *writer) define(view series.View, slot series.Slot, e *series.Entry) uint64 {
	here := w.epoch
	if e.Mark.Epoch == here {
		return uint64(e.Mark.Number)
	}
	family := uint64(walrecord.NoFamily)
	if e.Family != 0 {
		m := view.FamilyMark(e.Family)
		if m.Epoch != here {
			typ, name, help, unit := view.Family(e.Family)
			n := w.enc.Family(typ, w.symbol(view, name), w.symbol(view, help), w.symbol(view, unit))
			*m = series.Mark{Epoch: here, Number: uint32(n)}
		}
		family = uint64(m.Number)
	}
	pairs := view.Pairs(slot)
	number := w.enc.BeginSeries(family, len(pairs))
	for _, p := range pairs {
		m := view.PairMark(p)
		if m.Epoch != here {
			name, value := view.Pair(p)
			n := w.enc.Pair(w.symbol(view, name), w.symbol(view, value))
			*m = series.Mark{Epoch: here, Number: uint32(n)}
		}
		w.enc.SeriesPair(uint64(m.Number))
	}
	e.Mark = series.Mark{Epoch: here, Number: uint32(number)}
	return number
}

func (w *writer) symbol(view series.View, n uint32) uint64 {
	m := view.SymbolMark(n)
	if here := w.epoch; m.Epoch != here {
		*m = series.Mark{Epoch: here, Number: uint32(w.enc.Symbol(view.Symbol(n)))}
	}
	return uint64(m.Number)
}

func (w *writer) haveRoom() bool {
	for _, s := range w.shards {
		if !s.hasRoom() {
			return false
		}
	}
	return true
}

// position returns where the log is needed from and the time of the oldest
// record waiting in memory, 0 if none is.
func (w *writer) position() (seglog.Position, int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	from, oldest := w.cursor, int64(0)
	for _, s := range w.shards {
		pos, base := s.position(w.cursor)
		if pos.Less(from) {
			from = pos
		}
		if base != 0 && (oldest == 0 || base < oldest) {
			oldest = base
		}
	}
	return from, oldest
}

// sweepAfter is for how long a series is kept without a sample. A scraper that
// comes back later than that brings the labels again; only a staleness marker
// after more than that is lost.
const sweepAfter = time.Hour

// sweep forgets series that are no longer written, unless they are in a queue.
func (w *writer) sweep(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clock := w.table.Clock(now)
	for _, s := range w.shards {
		s.keep(w.table, clock)
	}
	w.replaying.keep(w.table, clock)
	before := w.table.Clock(now.Add(-sweepAfter))
	w.table.Sweep(before)
	w.forgetExemplars()
}

// stage splits a record's samples by shard.
type stage struct {
	items  [][]remotewrite.Item
	extras [][]remotewrite.Extra

	// The last block of slots and its shard.
	block series.Slot
	at    int
}

func (g *stage) begin(shards int) {
	if len(g.items) != shards {
		g.items = make([][]remotewrite.Item, shards)
		g.extras = make([][]remotewrite.Extra, shards)
		g.block, g.at = 0, 0
	}
	for i := range g.items {
		g.items[i] = g.items[i][:0]
		clear(g.extras[i])
		g.extras[i] = g.extras[i][:0]
	}
}

// shardBlock is the number of neighbouring slots that go to one shard. A
// target's series lie side by side: sent together, their requests need fewer
// symbols.
const shardBlock = 512

func (g *stage) shard(slot series.Slot) int {
	if b := slot / shardBlock; b != g.block {
		g.block, g.at = b, int(b)%len(g.items)
	}
	return g.at
}

func (g *stage) add(slot series.Slot, t int64, v float64) {
	i := g.shard(slot)
	g.items[i] = append(g.items[i], remotewrite.Item{Slot: slot, T: t, V: v})
}

func (g *stage) addExtra(slot series.Slot, t int64, v float64, x *remotewrite.Extra) {
	i := g.shard(slot)
	g.extras[i] = append(g.extras[i], *x)
	g.items[i] = append(g.items[i], remotewrite.Item{Slot: slot, Extra: uint32(len(g.extras[i])), T: t, V: v})
}

func (g *stage) push(shards []*shard, pos seglog.Position, base int64) {
	for i, s := range shards {
		s.push(g.items[i], g.extras[i], pos, base)
	}
}
