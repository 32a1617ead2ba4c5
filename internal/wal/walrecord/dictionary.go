package walrecord

import "github.com/prometheus/prometheus/model/labels"

// Dictionary collects the definitions of a segment and resolves references to
// them. It implements the methods of Handler for symbols, pairs and families. It
// is reset at the start of a segment.
//
// References to definitions in damaged records are unknown.
type Dictionary struct {
	builder  labels.ScratchBuilder
	scratch  []Label
	symbols  []symbol
	pairs    []pair
	families []Family
	known    []bool // of families
}

type symbol struct {
	s     string
	known bool
}

type pair struct {
	Label
	known bool
}

// Family is a metric family's metadata. Type is the MetricType of remote
// write 2.0.
type Family struct {
	Type             byte
	Name, Help, Unit string
}

// maxNumber bounds the tables against damaged numbers: each definition takes at
// least a byte of the segment.
const maxNumber = 1 << 30

// Reset forgets all definitions.
func (d *Dictionary) Reset() {
	clear(d.symbols)
	clear(d.pairs)
	clear(d.families)
	d.symbols, d.pairs, d.families, d.known = d.symbols[:0], d.pairs[:0], d.families[:0], d.known[:0]
}

// Fits reports whether a number can be the next one of a table, allowing for the
// definitions of lost records.
func Fits[T any](table []T, number uint64) bool {
	return number < maxNumber && number <= uint64(len(table))+1<<20
}

// Put sets the entry of a number, with zeros for the numbers skipped. It returns
// the table unchanged if the number does not fit.
func Put[T any](table []T, number uint64, v T) []T {
	if !Fits(table, number) {
		return table
	}
	var zero T
	for uint64(len(table)) <= number {
		table = append(table, zero)
	}
	table[number] = v
	return table
}

// Symbol implements Handler.
func (d *Dictionary) Symbol(number uint64, s []byte) {
	d.symbols = Put(d.symbols, number, symbol{string(s), true})
}

// Pair implements Handler.
func (d *Dictionary) Pair(number, name, value uint64) {
	n, ok := d.symbol(name)
	v, ok2 := d.symbol(value)
	d.pairs = Put(d.pairs, number, pair{Label{n, v}, ok && ok2})
}

// Family implements Handler.
func (d *Dictionary) Family(number uint64, typ byte, name, help, unit uint64) {
	n, ok := d.symbol(name)
	h, ok2 := d.symbol(help)
	u, ok3 := d.symbol(unit)
	d.families = Put(d.families, number, Family{typ, n, h, u})
	d.known = Put(d.known, number, ok && ok2 && ok3)
}

func (d *Dictionary) symbol(number uint64) (string, bool) {
	if number >= uint64(len(d.symbols)) {
		return "", false
	}
	return d.symbols[number].s, d.symbols[number].known
}

// Labels appends the labels of a series to dst. It returns false if one is unknown.
func (d *Dictionary) Labels(dst []Label, pairs []uint64) ([]Label, bool) {
	for _, p := range pairs {
		if p >= uint64(len(d.pairs)) || !d.pairs[p].known {
			return dst, false
		}
		dst = append(dst, d.pairs[p].Label)
	}
	return dst, true
}

// LabelSet returns the labels of a series in the order of the pairs, which are
// sorted by name. It returns false if one is unknown.
func (d *Dictionary) LabelSet(pairs []uint64) (labels.Labels, bool) {
	ls, ok := d.Labels(d.scratch[:0], pairs)
	d.scratch = ls
	if !ok {
		return labels.EmptyLabels(), false
	}
	d.builder.Reset()
	for _, l := range ls {
		d.builder.Add(l.Name, l.Value)
	}
	return d.builder.Labels(), true
}

// LookupFamily returns a family. It returns false for NoFamily and if the family is
// unknown.
func (d *Dictionary) LookupFamily(number uint64) (Family, bool) {
	if number >= uint64(len(d.families)) || !d.known[number] {
		return Family{}, false
	}
	return d.families[number], true
}
