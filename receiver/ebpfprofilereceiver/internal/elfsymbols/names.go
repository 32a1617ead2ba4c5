package elfsymbols

import (
	"bytes"
	"hash/maphash"
	"slices"
)

// interner stores each distinct name once, terminated by a zero.
type interner struct {
	blob  []byte
	seed  maphash.Seed
	slots []uint32 // hash table with open addressing: offset of the name + 1, or 0 if free
	used  int
}

// add returns the offset of the name in blob.
func (n *interner) add(name []byte) uint32 {
	if 4*(n.used+1) > 3*len(n.slots) {
		n.grow()
	}
	i := n.slot(name)
	if n.slots[i] != 0 {
		return n.slots[i] - 1
	}
	at := len(n.blob)
	n.blob = append(append(n.blob, name...), 0)
	n.slots[i] = uint32(at) + 1
	n.used++
	return uint32(at)
}

// slot returns the slot of the name, or the free slot where it belongs.
func (n *interner) slot(name []byte) int {
	mask := len(n.slots) - 1
	for i := int(maphash.Bytes(n.seed, name)) & mask; ; i = (i + 1) & mask {
		if n.slots[i] == 0 {
			return i
		}
		rest := n.blob[n.slots[i]-1:]
		if len(rest) > len(name) && rest[len(name)] == 0 && bytes.Equal(rest[:len(name)], name) {
			return i
		}
	}
}

func (n *interner) grow() {
	old := n.slots
	if old == nil {
		n.seed = maphash.MakeSeed()
	}
	n.slots = make([]uint32, max(256, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			n.slots[n.slot(nameAt(n.blob, s-1))] = s
		}
	}
}

// compactNames copies the names that the ranges use to a blob of exactly the needed size
// and updates their offsets in ranges.
func compactNames(ranges []codeRange, names []byte) []byte {
	used := make([]uint32, len(ranges))
	for i := range ranges {
		used[i] = ranges[i].name
	}
	slices.Sort(used)
	used = slices.Compact(used)
	size := 0
	for _, at := range used {
		size += len(nameAt(names, at)) + 1
	}
	compact := make([]byte, 0, size)
	moved := make([]uint32, len(used))
	for i, at := range used {
		moved[i] = uint32(len(compact))
		compact = append(append(compact, nameAt(names, at)...), 0)
	}
	for i := range ranges {
		at, _ := slices.BinarySearch(used, ranges[i].name)
		ranges[i].name = moved[at]
	}
	return compact
}

// nameAt returns the name at offset i.
func nameAt(names []byte, i uint32) []byte {
	rest := names[i:]
	return rest[:bytes.IndexByte(rest, 0)]
}
