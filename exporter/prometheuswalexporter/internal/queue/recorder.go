package queue

import (
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// recorder encodes records. Within a segment it defines a series, and what the
// series consists of, on first use; the marks in the series table hold the
// numbers. It is used with the queue's mutex locked.
type recorder struct {
	enc     walrecord.Encoder
	segment uint64
	numbers walrecord.Numbers
	// epoch invalidates marks: what was marked in another epoch is not defined
	// in the current segment.
	epoch uint32
}

// forgetSegment makes the next segment a new one, whatever its number.
func (r *recorder) forgetSegment() { r.segment = 0 }

// enter begins the numbering of a segment, unless it is the current one.
func (r *recorder) enter(segment uint64) {
	if segment != r.segment {
		r.segment, r.numbers = segment, walrecord.Numbers{}
		r.epoch++
	}
}

// begin starts a record. base is the time its samples are relative to.
func (r *recorder) begin(base int64) { r.enc.Begin(base, r.numbers) }

// written keeps the definitions of a record that the log has.
func (r *recorder) written() { r.numbers = r.enc.Numbers() }

// lost forgets the definitions of a record that the log does not have.
func (r *recorder) lost() { r.epoch++ }

// define returns the number of a series in the current segment.
func (r *recorder) define(view series.View, slot series.Slot, e *series.Entry) uint64 {
	here := r.epoch
	if e.Mark.Epoch == here {
		return uint64(e.Mark.Number)
	}
	family := uint64(walrecord.NoFamily)
	if e.Family != 0 {
		m := view.FamilyMark(e.Family)
		if m.Epoch != here {
			typ, name, help, unit := view.Family(e.Family)
			n := r.enc.Family(typ, r.symbol(view, name), r.symbol(view, help), r.symbol(view, unit))
			*m = series.Mark{Epoch: here, Number: uint32(n)}
		}
		family = uint64(m.Number)
	}
	pairs := view.Pairs(slot)
	number := r.enc.BeginSeries(family, len(pairs))
	for _, p := range pairs {
		m := view.PairMark(p)
		if m.Epoch != here {
			name, value := view.Pair(p)
			n := r.enc.Pair(r.symbol(view, name), r.symbol(view, value))
			*m = series.Mark{Epoch: here, Number: uint32(n)}
		}
		r.enc.SeriesPair(uint64(m.Number))
	}
	e.Mark = series.Mark{Epoch: here, Number: uint32(number)}
	return number
}

func (r *recorder) symbol(view series.View, n uint32) uint64 {
	m := view.SymbolMark(n)
	if here := r.epoch; m.Epoch != here {
		*m = series.Mark{Epoch: here, Number: uint32(r.enc.Symbol(view.Symbol(n)))}
	}
	return uint64(m.Number)
}
