package walrecord

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/value"
)

// Encoder encodes records. Call Begin, then the other methods in any order, then
// Record. An Encoder reuses its buffers, and is for one goroutine.
type Encoder struct {
	base    int64
	next    uint64 // the series a sample without tagSeries belongs to
	symbols section
	pairs   section
	fams    section
	series  section
	samples []byte
	count   int
	out     []byte
}

// section is one kind of definitions of the record being built.
type section struct {
	first, n uint64
	buf      []byte
}

func (s *section) begin(first uint64) { s.first, s.n, s.buf = first, 0, s.buf[:0] }

// Numbers are the numbers of the next definitions. They start at 0 in every
// segment.
type Numbers struct{ Symbols, Pairs, Families, Series uint64 }

// Begin starts a record. base is a time in ms near those of the samples; next are
// the numbers of the next definitions of the segment.
func (e *Encoder) Begin(base int64, next Numbers) {
	e.base, e.next, e.count = base, 0, 0
	e.symbols.begin(next.Symbols)
	e.pairs.begin(next.Pairs)
	e.fams.begin(next.Families)
	e.series.begin(next.Series)
	e.samples = e.samples[:0]
}

// Numbers returns the numbers after the definitions so far.
func (e *Encoder) Numbers() Numbers {
	return Numbers{
		Symbols:  e.symbols.first + e.symbols.n,
		Pairs:    e.pairs.first + e.pairs.n,
		Families: e.fams.first + e.fams.n,
		Series:   e.series.first + e.series.n,
	}
}

// Symbol defines the next symbol and returns its number.
func (e *Encoder) Symbol(s string) uint64 {
	e.symbols.buf = binary.AppendUvarint(e.symbols.buf, uint64(len(s)))
	e.symbols.buf = append(e.symbols.buf, s...)
	e.symbols.n++
	return e.symbols.first + e.symbols.n - 1
}

// Pair defines the next label by its symbols, and returns its number.
func (e *Encoder) Pair(name, value uint64) uint64 {
	e.pairs.buf = binary.AppendUvarint(binary.AppendUvarint(e.pairs.buf, name), value)
	e.pairs.n++
	return e.pairs.first + e.pairs.n - 1
}

// Family defines the next metric family and returns its number. typ is the
// MetricType of remote write 2.0.
func (e *Encoder) Family(typ byte, name, help, unit uint64) uint64 {
	b := e.fams.buf
	b = append(b, typ)
	for _, s := range [...]uint64{name, help, unit} {
		b = binary.AppendUvarint(b, s)
	}
	e.fams.buf = b
	e.fams.n++
	return e.fams.first + e.fams.n - 1
}

// BeginSeries defines the next series and returns its number. The caller then
// calls SeriesPair for each of its labels. family is a number or NoFamily.
func (e *Encoder) BeginSeries(family uint64, labels int) uint64 {
	e.series.buf = binary.AppendUvarint(e.series.buf, family+1)
	e.series.buf = binary.AppendUvarint(e.series.buf, uint64(labels))
	e.series.n++
	return e.series.first + e.series.n - 1
}

// NoFamily is the family of a series whose metadata is not known.
const NoFamily = math.MaxUint64

// SeriesPair adds a label to the series begun last.
func (e *Encoder) SeriesPair(pair uint64) { e.series.buf = binary.AppendUvarint(e.series.buf, pair) }

// Value appends a float sample without start timestamp and exemplars, like nearly
// all samples.
func (e *Encoder) Value(series uint64, t int64, v float64) { e.append(series, t, 0, v, nil, nil) }

// Sample appends any sample.
func (e *Encoder) Sample(s *Sample) {
	e.append(s.Series, s.T, s.Start, s.V, s.Histogram, s.Exemplars)
}

func (e *Encoder) append(series uint64, t, start int64, v float64, hist []byte, exemplars []Exemplar) {
	at := len(e.samples)
	b := e.samples
	b = append(b, 0) // the tag, set below
	var tag byte
	if series != e.next {
		tag |= tagSeries
		b = binary.AppendVarint(b, int64(series-e.next))
	}
	e.next = series + 1
	if t != e.base {
		tag |= tagTime
		b = binary.AppendVarint(b, t-e.base)
	}
	if start != 0 {
		tag |= tagStart
		b = binary.AppendVarint(b, t-start)
	}
	switch {
	case hist != nil:
		tag |= kindHist
		b = append(binary.AppendUvarint(b, uint64(len(hist))), hist...)
	case math.Float64bits(v) == value.StaleNaN:
		tag |= kindStale
	default:
		if i := int64(v); float64(i) == v && i > -1<<53 && i < 1<<53 && (i != 0 || !math.Signbit(v)) {
			tag |= kindInt
			b = binary.AppendVarint(b, i)
		} else {
			tag |= kindFloat
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	if len(exemplars) > 0 {
		tag |= tagExemplars
		b = appendExemplars(b, exemplars, t)
	}
	b[at] = tag
	e.samples = b
	e.count++
}

func appendExemplars(b []byte, exemplars []Exemplar, t int64) []byte {
	b = binary.AppendUvarint(b, uint64(len(exemplars)))
	for _, x := range exemplars {
		b = binary.AppendVarint(b, x.T-t)
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x.V))
		b = binary.AppendUvarint(b, uint64(len(x.Labels)))
		for _, l := range x.Labels {
			b = append(binary.AppendUvarint(b, uint64(len(l.Name))), l.Name...)
			b = append(binary.AppendUvarint(b, uint64(len(l.Value))), l.Value...)
		}
	}
	return b
}

// Samples returns the number of samples in the record so far.
func (e *Encoder) Samples() int { return e.count }

// Size returns the size of the record so far in bytes, without the header.
func (e *Encoder) Size() int {
	return len(e.symbols.buf) + len(e.pairs.buf) + len(e.fams.buf) + len(e.series.buf) + len(e.samples)
}

// Record returns the record. It is valid until the next Begin.
func (e *Encoder) Record() []byte {
	b := e.out[:0]
	b = append(b, format)
	b = binary.AppendVarint(b, e.base)
	sections := [...]*section{&e.symbols, &e.pairs, &e.fams, &e.series}
	for _, s := range sections {
		b = binary.AppendUvarint(binary.AppendUvarint(b, s.first), s.n)
	}
	for _, s := range sections {
		b = append(b, s.buf...)
	}
	b = append(b, e.samples...)
	e.out = b
	return b
}
