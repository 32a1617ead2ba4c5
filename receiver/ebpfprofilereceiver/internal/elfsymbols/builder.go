package elfsymbols

import (
	"bytes"
	"cmp"
	"debug/elf"
	"slices"
)

// builder gathers functions from symbol tables and makes a Table of them.
type builder struct {
	limit int         // bytes of the table
	only  *candidates // nil: all functions

	found   []function
	names   interner
	sources Source
}

// function is a symbol on its way into the table.
type function struct {
	start, end uint64
	name       uint32 // where it is in the names
	rank       rank
}

// rank orders functions that begin at the same address, the best lowest.
// A label has no type, an open function no size: what is written by hand in
// assembler may lack either, and says less. The richer source comes after the
// binding, so that a stripped file gives the names that it gave before.
//
//	label | open | binding: global, weak, local | source
type rank uint8

const (
	rankLabel rank = 1 << 7
	rankOpen  rank = 1 << 6

	rankBinding = 1 << 4 // times 0 to 2
)

func (r rank) label() bool { return r&rankLabel != 0 }
func (r rank) open() bool  { return r&rankOpen != 0 }

func rankOf(s symbol, source Source) rank {
	r := rank(0)
	switch s.binding {
	case elf.STB_WEAK:
		r = rankBinding
	case elf.STB_LOCAL:
		r = 2 * rankBinding
	}
	if s.label {
		r |= rankLabel
	}
	if s.size == 0 {
		r |= rankOpen
	}
	switch source {
	case SourceDebugData:
		r++
	case SourceDynsym:
		r += 2
	}
	return r
}

// add takes the functions of t, and tells whether there was room for all.
func (b *builder) add(t *symbolTable) (bool, error) {
	full := false
	err := t.functions(func(s symbol) (bool, error) {
		end := s.sectionEnd
		if s.size != 0 {
			end = s.start + min(s.size, s.sectionEnd-s.start)
		}
		if b.only != nil {
			if s.size == 0 {
				end = b.only.openEnd(s, end)
			}
			if !b.only.covered(s.start, end) {
				return true, nil
			}
		}
		name, err := t.name(s)
		if err != nil || len(name) == 0 {
			return true, err
		}
		b.sources |= t.source
		b.found = append(b.found, function{
			start: s.start, end: end, name: b.names.add(name), rank: rankOf(s, t.source),
		})
		// A function within another one makes two more ranges of one.
		full = 2*len(b.found)*rangeSize+len(b.names.blob) > b.limit
		return !full, nil
	})
	return !full, err
}

// table makes the table. The builder is not used afterwards.
func (b *builder) table() *Table {
	slices.SortFunc(b.found, b.compare)
	return newTable(flatten(closeOpen(b.found)), b.names.blob)
}

// compare orders by address, and at the same address the best last.
func (b *builder) compare(x, y function) int {
	if c := cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(y.rank, x.rank)); c != 0 || x.name == y.name {
		return c
	}
	return compareNames(nameAt(b.names.blob, y.name), nameAt(b.names.blob, x.name))
}

// compareNames puts the name with fewer leading underscores first: they mark what
// is internal to a library.
func compareNames(x, y []byte) int {
	under := func(s []byte) int { return len(s) - len(bytes.TrimLeft(s, "_")) }
	return cmp.Or(cmp.Compare(under(x), under(y)), bytes.Compare(x, y))
}

// closeOpen gives the functions without a size their end, in place: the next
// function, and in any case the end of a function that they are within. A label
// there is a part of that function. Beside a function at the same address that
// has a size, one without says nothing.
func closeOpen(found []function) []function {
	kept := found[:0]
	var covered uint64 // where the functions with a size so far end
	for i := 0; i < len(found); {
		start, n, sized := found[i].start, i, false
		sizedEnd := uint64(0)
		for ; n < len(found) && found[n].start == start; n++ {
			if !found[n].rank.open() {
				sized, sizedEnd = true, max(sizedEnd, found[n].end)
			}
		}
		for ; i < n; i++ {
			f := found[i]
			if f.rank.open() {
				within := start < covered
				if sized || within && f.rank.label() {
					continue
				}
				if within {
					f.end = min(f.end, covered)
				}
				if n < len(found) {
					f.end = min(f.end, found[n].start)
				}
			}
			kept = append(kept, f)
		}
		covered = max(covered, sizedEnd)
	}
	return kept
}

// codeRange is a piece of code that has one name.
type codeRange struct {
	start uint64
	size  uint32
	name  uint32
}

// flatten turns functions, which may overlap, into ranges which do not: of the
// functions that cover an address, the last in order has it.
func flatten(found []function) []codeRange {
	ranges := make([]codeRange, 0, len(found))
	pos := uint64(0) // all before has been decided
	upTo := func(end uint64, name uint32) {
		if end <= pos {
			return
		}
		ranges = append(ranges, codeRange{start: pos, size: uint32(min(end-pos, 1<<32-1)), name: name})
		pos = end
	}
	var under []function // those which have begun, the nearest last
	for _, f := range found {
		for len(under) > 0 && under[len(under)-1].end <= f.start {
			upTo(under[len(under)-1].end, under[len(under)-1].name)
			under = under[:len(under)-1]
		}
		if len(under) > 0 {
			upTo(f.start, under[len(under)-1].name)
		}
		pos = f.start
		under = append(under, f)
	}
	for ; len(under) > 0; under = under[:len(under)-1] {
		upTo(under[len(under)-1].end, under[len(under)-1].name)
	}
	return ranges
}
