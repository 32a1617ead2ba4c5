package remotewrite

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/klauspost/compress/s2"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// Builder builds request bodies. For the request at hand it holds the references
// of symbols and pairs, in tables as long as those of the series table: a lookup
// is an array access. It is for one goroutine at a time. All senders share a few
// builders, because the tables grow with the number of labels.
type Builder struct {
	request uint32 // number of the request; entries of others are stale
	symbols []localRef
	pairs   []localPair
	strings map[string]uint32 // of exemplars, not in the series table

	table  []byte // the symbols field, encoded
	nextID uint32
	body   []byte // the timeseries fields, encoded
	one    []byte // the timeseries being encoded
	refs   []byte // its labels
	plain  []byte // the whole message
}

type localRef struct{ request, ref uint32 }

type localPair struct{ request, name, value uint32 }

// NewBuilder returns a Builder.
func NewBuilder() *Builder { return &Builder{} }

// Build appends a compressed request with the items to dst. extra resolves
// Item.Extra.
func (b *Builder) Build(dst []byte, m Message, view series.View, items [2][]Item, extra func(uint32) *Extra) ([]byte, Counts) {
	var counts Counts
	b.body = b.body[:0]
	if m == V2 {
		b.beginV2(view)
	}
	for _, part := range items {
		for i := range part {
			it := &part[i]
			var x *Extra
			if it.Extra != 0 {
				x = extra(it.Extra)
				counts.Exemplars += len(x.Exemplars)
			}
			if x != nil && x.Histogram != nil {
				counts.Histograms++
			} else {
				counts.Samples++
			}
			if m == V2 {
				b.timeseriesV2(view, it, x)
			} else {
				b.timeseriesV1(view, it, x)
			}
		}
	}
	plain := b.body
	if m == V2 {
		// Symbols first: a decoder can then resolve references as it reads.
		b.plain = append(append(b.plain[:0], b.table...), b.body...)
		plain = b.plain
	}
	return compress(dst, plain), counts
}

// compress appends the snappy block of plain.
func compress(dst, plain []byte) []byte {
	n := len(dst)
	dst = slices.Grow(dst, s2.MaxEncodedLen(len(plain)))
	return dst[:n+len(s2.EncodeSnappy(dst[n:cap(dst)], plain))]
}

// Fields and their wire types (field<<3 | type).
const (
	v2Symbols    = 4<<3 | 2
	v2Timeseries = 5<<3 | 2

	seriesLabels      = 1<<3 | 2 // both: packed references or Label messages
	seriesSamples     = 2<<3 | 2 // both
	v2SeriesHistogram = 3<<3 | 2
	v2SeriesExemplar  = 4<<3 | 2
	v2SeriesMetadata  = 5<<3 | 2

	sampleValue = 1<<3 | 1
	sampleTime  = 2 << 3
	sampleStart = 3 << 3

	exemplarLabels = 1<<3 | 2
	exemplarValue  = 2<<3 | 1
	exemplarTime   = 3 << 3

	v2MetadataType = 1 << 3
	v2MetadataHelp = 3 << 3
	v2MetadataUnit = 4 << 3
)

func (b *Builder) beginV2(view series.View) {
	b.request++
	if b.request == 0 { // overflow after 2^32 requests
		clear(b.symbols)
		clear(b.pairs)
		b.request = 1
	}
	pairs, symbols := view.Sizes()
	b.pairs, b.symbols = resize(b.pairs, pairs), resize(b.symbols, symbols)
	clear(b.strings)
	b.table = append(b.table[:0], v2Symbols, 0) // reference 0 is the empty string
	b.nextID = 1
}

func resize[T any](s []T, n int) []T {
	if n <= len(s) {
		return s
	}
	if n <= cap(s) {
		return s[:n]
	}
	grown := make([]T, n, n+n/4)
	copy(grown, s)
	return grown
}

func (b *Builder) timeseriesV2(view series.View, it *Item, x *Extra) {
	refs := b.refs[:0]
	for _, p := range view.Pairs(it.Slot) {
		lp := &b.pairs[p]
		if lp.request != b.request {
			name, value := view.Pair(p)
			*lp = localPair{b.request, b.symbol(view, name), b.symbol(view, value)}
		}
		refs = appendUvarint(appendUvarint(refs, lp.name), lp.value)
	}
	b.refs = refs
	one := b.one[:0]
	one = append(one, seriesLabels)
	one = append(binary.AppendUvarint(one, uint64(len(refs))), refs...)
	var start int64
	if x != nil {
		start = x.Start
	}
	if x != nil && x.Histogram != nil {
		one = append(one, v2SeriesHistogram)
		one = append(binary.AppendUvarint(one, uint64(len(x.Histogram))), x.Histogram...)
	} else {
		one = appendSample(one, it, start)
	}
	if x != nil {
		for i := range x.Exemplars {
			one = b.exemplarV2(view, one, &x.Exemplars[i])
		}
	}
	if f := view.Entry(it.Slot).Family; f != 0 {
		typ, _, help, unit := view.Family(f)
		one = append(one, v2SeriesMetadata, 0, v2MetadataType, typ)
		at := len(one) - 4
		one = append(one, v2MetadataHelp)
		one = appendUvarint(one, b.symbol(view, help))
		if ref := b.symbol(view, unit); ref != 0 {
			one = append(one, v2MetadataUnit)
			one = appendUvarint(one, ref)
		}
		one[at+1] = byte(len(one) - at - 2) // at most 14 bytes
	}
	b.one = one
	b.body = append(binary.AppendUvarint(append(b.body, v2Timeseries), uint64(len(one))), one...)
}

func appendUvarint(b []byte, v uint32) []byte {
	if v < 1<<7 {
		return append(b, byte(v))
	}
	if v < 1<<14 {
		return append(b, byte(v)|0x80, byte(v>>7))
	}
	return binary.AppendUvarint(b, uint64(v))
}

// appendSample appends the samples field with one Sample. The start timestamp
// is a field of 2.0 only; pass 0 for 1.0.
func appendSample(b []byte, it *Item, start int64) []byte {
	b = append(b, seriesSamples, 0, sampleValue)
	at := len(b) - 2
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(it.V))
	b = binary.AppendUvarint(append(b, sampleTime), uint64(it.T))
	if start != 0 {
		b = binary.AppendUvarint(append(b, sampleStart), uint64(start))
	}
	b[at] = byte(len(b) - at - 1) // at most 31 bytes
	return b
}

// symbol returns the request's reference to a symbol of the series table.
func (b *Builder) symbol(view series.View, n uint32) uint32 {
	l := &b.symbols[n]
	if l.request != b.request {
		*l = localRef{b.request, b.add(view.Symbol(n))}
	}
	return l.ref
}

// str returns the request's reference to a string of an exemplar.
func (b *Builder) str(view series.View, s string) uint32 {
	if n, ok := view.FindSymbol(s); ok {
		return b.symbol(view, n)
	}
	if ref, ok := b.strings[s]; ok {
		return ref
	}
	if b.strings == nil {
		b.strings = make(map[string]uint32)
	}
	ref := b.add(s)
	b.strings[s] = ref
	return ref
}

func (b *Builder) add(s string) uint32 {
	if s == "" {
		return 0
	}
	b.table = append(binary.AppendUvarint(append(b.table, v2Symbols), uint64(len(s))), s...)
	b.nextID++
	return b.nextID - 1
}

func (b *Builder) exemplarV2(view series.View, one []byte, x *walrecord.Exemplar) []byte {
	refs := b.refs[:0] // the series' own are written already
	for _, l := range x.Labels {
		refs = appendUvarint(appendUvarint(refs, b.str(view, l.Name)), b.str(view, l.Value))
	}
	b.refs = refs
	size := 1 + uvarintLen(uint64(len(refs))) + len(refs) + 9 + 1 + uvarintLen(uint64(x.T))
	one = binary.AppendUvarint(append(one, v2SeriesExemplar), uint64(size))
	one = append(binary.AppendUvarint(append(one, exemplarLabels), uint64(len(refs))), refs...)
	return appendExemplarValue(one, x)
}

func appendExemplarValue(b []byte, x *walrecord.Exemplar) []byte {
	b = binary.LittleEndian.AppendUint64(append(b, exemplarValue), math.Float64bits(x.V))
	return binary.AppendUvarint(append(b, exemplarTime), uint64(x.T))
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
