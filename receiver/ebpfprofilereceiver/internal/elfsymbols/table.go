package elfsymbols

import (
	"math"
	"slices"
	"strings"
	"unsafe"
)

// Table holds the functions of one ELF file by address. It is immutable and safe for
// concurrent use.
type Table struct {
	base    uint64
	starts  []uint32 // relative to base, ascending; nil if they do not fit
	wide    []uint64 // absolute, used instead of starts
	sizes   []uint32
	names   []uint32 // offsets in blob
	blob    []byte   // names, each terminated by a zero
	sources Source
	partial bool
}

// rangeSize is the size of a range in a table in bytes, without its name.
const rangeSize = 12

// newTable returns a table of ranges, which must be ascending and must not overlap. It
// modifies ranges.
func newTable(ranges []codeRange, names []byte) *Table {
	t := &Table{}
	if len(ranges) == 0 {
		return t
	}
	t.blob = compactNames(ranges, names)
	t.base = ranges[0].start
	t.sizes, t.names = make([]uint32, len(ranges)), make([]uint32, len(ranges))
	if ranges[len(ranges)-1].start-t.base <= math.MaxUint32 {
		t.starts = make([]uint32, len(ranges))
	} else {
		t.wide = make([]uint64, len(ranges))
	}
	for i, r := range ranges {
		if t.starts != nil {
			t.starts[i] = uint32(r.start - t.base)
		} else {
			t.wide[i] = r.start
		}
		t.sizes[i], t.names[i] = r.size, r.name
	}
	return t
}

// Lookup returns the name, as in the file, of the function that covers the ELF virtual
// address. If several do, it is the one that begins closest. A function without a size
// extends to the next function or the end of its section.
func (t *Table) Lookup(addr uint64) (name string, ok bool) {
	at, ok := t.find(addr)
	if !ok {
		return "", false
	}
	return string(nameAt(t.blob, at)), true
}

// find returns the offset of the function's name in blob.
func (t *Table) find(addr uint64) (uint32, bool) {
	if addr < t.base {
		return 0, false
	}
	var i int
	var start uint64
	if t.wide != nil {
		i = after(t.wide, addr) - 1
		if i >= 0 {
			start = t.wide[i]
		}
	} else {
		i = after(t.starts, uint32(min(addr-t.base, math.MaxUint32))) - 1
		if i >= 0 {
			start = t.base + uint64(t.starts[i])
		}
	}
	if i < 0 || addr-start >= uint64(t.sizes[i]) {
		return 0, false
	}
	return t.names[i], true
}

// after returns the index of the first start that is greater than addr.
func after[T uint32 | uint64](starts []T, addr T) int {
	i, found := slices.BinarySearch(starts, addr)
	if found {
		i++
	}
	return i
}

// Len returns the number of address ranges with a name. A function that is split by a
// nested one counts twice.
func (t *Table) Len() int { return len(t.sizes) }

// Size returns the memory of the table in bytes.
func (t *Table) Size() int {
	return int(unsafe.Sizeof(*t)) + 4*cap(t.starts) + 8*cap(t.wide) + 4*cap(t.sizes) + 4*cap(t.names) + cap(t.blob)
}

// Sources returns where the functions were read from.
func (t *Table) Sources() Source { return t.sources }

// Partial reports whether the table has only the functions that cover the wanted
// addresses, because a table of all functions would have been too large.
func (t *Table) Partial() bool { return t.partial }

// Source is a set of places where functions are read from.
type Source uint8

// Places of functions.
const (
	SourceSymtab      Source = 1 << iota // .symtab of the file
	SourceDebugData                      // .gnu_debugdata of the file
	SourceBuildIDFile                    // a debug file found by the build ID
	SourceDebugLink                      // a debug file found by its name
	SourceDynsym                         // .dynsym of the file
)

// String returns the places, separated by commas.
func (s Source) String() string {
	var names []string
	for i, name := range [...]string{"symtab", "gnu_debugdata", "build_id_file", "debuglink", "dynsym"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
