package elfsymbols

import (
	"bytes"
	"cmp"
	"debug/elf"
	"errors"
	"slices"
)

// builder collects functions from symbol tables and makes a Table of them.
type builder struct {
	limit int         // size of the table in bytes
	only  *candidates // nil for all functions

	found   []function
	names   interner
	sources Source
}

// function is a symbol on its way into the table.
type function struct {
	start, end uint64
	name       uint32 // offset in the names
	rank       rank
}

// rank orders functions that begin at the same address; the lowest is preferred. A
// label has no type and an open function no size. Hand-written assembler may lack
// either, and such names are less reliable. The source ranks below the binding, so a
// stripped file yields the same names as before it was stripped.
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

// errTableFull is returned by add when the table would exceed its limit.
var errTableFull = errors.New("the table is full")

// add adds the functions of t. It stops with errTableFull at the limit.
func (b *builder) add(t *symbolTable) error {
	return t.functions(func(s symbol) error {
		end := s.sectionEnd
		if s.size != 0 {
			end = s.start + min(s.size, s.sectionEnd-s.start)
		}
		if b.only != nil {
			if s.size == 0 {
				end = b.only.openEnd(s, end)
			}
			if !b.only.covered(s.start, end) {
				return nil
			}
		}
		name, err := t.name(s)
		if err != nil || len(name) == 0 {
			return err
		}
		b.sources |= t.source
		b.found = append(b.found, function{
			start: s.start, end: end, name: b.names.add(name), rank: rankOf(s, t.source),
		})
		// A function nested in another one splits it: two ranges for each function.
		if 2*len(b.found)*rangeSize+len(b.names.blob) > b.limit {
			return errTableFull
		}
		return nil
	})
}

// table returns the table. The builder must not be used afterwards.
func (b *builder) table() *Table {
	slices.SortFunc(b.found, b.compare)
	return newTable(flatten(closeOpen(b.found)), b.names.blob)
}

// compare orders functions by address, and at the same address the preferred one
// last.
func (b *builder) compare(x, y function) int {
	if c := cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(y.rank, x.rank)); c != 0 || x.name == y.name {
		return c
	}
	return compareNames(nameAt(b.names.blob, y.name), nameAt(b.names.blob, x.name))
}

// compareNames orders the name with fewer leading underscores first, because these
// mark internals of a library.
func compareNames(x, y []byte) int {
	underscores := func(s []byte) int { return len(s) - len(bytes.TrimLeft(s, "_")) }
	return cmp.Or(cmp.Compare(underscores(x), underscores(y)), bytes.Compare(x, y))
}

// closeOpen sets the end of functions without a size, in place: the start of the next
// function or, if earlier, the end of a function that contains them. It removes labels
// inside of another function, which are part of it, and functions without a size at
// the address of one that has a size.
func closeOpen(found []function) []function {
	kept := found[:0]
	var covered uint64 // end of the functions with a size so far
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

// codeRange is a range of code with one name.
type codeRange struct {
	start uint64
	size  uint32
	name  uint32
}

// flatten turns functions, which may overlap, into ranges, which do not. An address
// belongs to the last function, in the order of compare, that covers it.
func flatten(found []function) []codeRange {
	ranges := make([]codeRange, 0, len(found))
	pos := uint64(0) // the ranges before it are final
	upTo := func(end uint64, name uint32) {
		if end <= pos {
			return
		}
		ranges = append(ranges, codeRange{start: pos, size: uint32(min(end-pos, 1<<32-1)), name: name})
		pos = end
	}
	var open []function // begun but not ended, the innermost last
	for _, f := range found {
		for len(open) > 0 && open[len(open)-1].end <= f.start {
			upTo(open[len(open)-1].end, open[len(open)-1].name)
			open = open[:len(open)-1]
		}
		if len(open) > 0 {
			upTo(f.start, open[len(open)-1].name)
		}
		pos = f.start
		open = append(open, f)
	}
	for ; len(open) > 0; open = open[:len(open)-1] {
		upTo(open[len(open)-1].end, open[len(open)-1].name)
	}
	return ranges
}
