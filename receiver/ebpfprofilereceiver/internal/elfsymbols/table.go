package elfsymbols

import (
	"math"
	"slices"
	"strings"
	"unsafe"
)

// Table holds the functions of one ELF file by address. It does not change and
// may be used concurrently.
type Table struct {
	base    uint64
	starts  []uint32 // minus base, in order; nil if they do not fit
	wide    []uint64 // instead of starts
	sizes   []uint32
	names   []uint32 // where in blob
	blob    []byte   // names, each ended by a zero
	sources Source
	partial bool
}

// rangeSize is how many bytes of a table a range takes, without its name.
const rangeSize = 12

// newTable keeps the ranges, which are in order and do not overlap.
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

// Lookup returns the name, as the file has it, of the function that covers the
// ELF virtual address: of several, the one which begins nearest. A function
// without a size ends where the next one begins, or its section ends.
func (t *Table) Lookup(addr uint64) (name string, ok bool) {
	at, ok := t.find(addr)
	if !ok {
		return "", false
	}
	return string(nameAt(t.blob, at)), true
}

// find returns where in blob the name is.
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

// Len is the number of address ranges that have a name. A function that another
// one interrupts counts twice.
func (t *Table) Len() int { return len(t.sizes) }

// Size is the memory of the table in bytes.
func (t *Table) Size() int {
	return int(unsafe.Sizeof(*t)) + 4*cap(t.starts) + 8*cap(t.wide) + 4*cap(t.sizes) + 4*cap(t.names) + cap(t.blob)
}

// Sources tells where the functions are from.
func (t *Table) Sources() Source { return t.sources }

// Partial tells whether the table has only the functions that cover the wanted
// addresses, as all would have been too large.
func (t *Table) Partial() bool { return t.partial }

// Source is a set of places that functions are read from.
type Source uint8

// The places.
const (
	SourceSymtab      Source = 1 << iota // .symtab of the file
	SourceDebugData                      // .gnu_debugdata of the file
	SourceBuildIDFile                    // a debug file found by the build ID
	SourceDebugLink                      // a debug file found by its name
	SourceDynsym                         // .dynsym of the file
)

// String lists the places, separated by commas.
func (s Source) String() string {
	var names []string
	for i, name := range [...]string{"symtab", "gnu_debugdata", "build_id_file", "debuglink", "dynsym"} {
		if s&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
