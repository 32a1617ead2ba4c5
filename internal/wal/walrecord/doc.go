// Package walrecord encodes the records of prometheus_wal's log: samples, and the
// series they belong to.
//
// A record holds definitions and then samples. Definitions are valid from their
// record to the end of the segment file. Samples refer only to definitions of
// their own segment, so each segment can be read alone. Numbers are dense and
// never used twice in a segment: if a definition is lost, its samples are unknown,
// and never belong to another series.
//
//	symbol 7 = "instance"          bytes
//	symbol 8 = "10.0.0.1:9100"
//	pair 3   = symbols 7, 8        a label
//	family 2 = counter, symbols    type, family name, help, unit
//	series 5 = family 2, pairs 0 1 3
//	sample   = series 5, time, value
//
// Layout, integers as varints (encoding/binary), signed ones zigzag:
//
//	format byte
//	base time in ms (signed)
//	first number and count of symbols, pairs, families, series (8 unsigned)
//	symbols:  length, bytes
//	pairs:    name symbol, value symbol
//	families: type byte, name, help, unit symbols
//	series:   family + 1 or 0 for none, number of labels, their pairs
//	samples, to the end: tag byte, then what its bits say, see tag*
package walrecord

// format is the format byte. It changes with the layout.
const format = 1

// The tag byte of a sample: the kind of its value, and which fields are present.
// The fields follow in the order of the bits.
const (
	tagKind      = 0b11
	tagSeries    = 1 << 2 // series follows, as signed difference to the expected: previous + 1
	tagTime      = 1 << 3 // time follows, as signed difference to the base
	tagStart     = 1 << 4 // start timestamp follows, as signed time - start
	tagExemplars = 1 << 5 // exemplars follow the value: count, then each

	kindInt   = 0 // an integer below 2^53, signed varint
	kindFloat = 1 // 8 bytes IEEE 754, little-endian
	kindStale = 2 // the staleness marker, no bytes
	kindHist  = 3 // length and an io.prometheus.write.v2.Histogram
)

// Label is a name and a value.
type Label struct{ Name, Value string }

// Exemplar belongs to a sample. T is in ms since the epoch.
type Exemplar struct {
	T      int64
	V      float64
	Labels []Label
}

// Sample is a value of a series of the segment. T and Start are in ms since the
// epoch; Start is 0 if unknown. Histogram, if not nil, replaces V: it is the
// protobuf encoding of remote write 2.0.
type Sample struct {
	Series    uint64
	T, Start  int64
	V         float64
	Histogram []byte
	Exemplars []Exemplar
}
