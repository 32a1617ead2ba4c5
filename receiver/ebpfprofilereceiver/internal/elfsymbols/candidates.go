package elfsymbols

import "slices"

// candidates are the functions that matter to a partial table: those which cover
// one of the wanted addresses. A function without a size reaches to the next one,
// so that a first pass over all symbols notes what begins next to the addresses.
type candidates struct {
	wanted []uint64 // in order, each once
	// Of the functions which begin between wanted[i-1] and wanted[i], and at
	// that, the first and the last start. No function: first > last.
	first, last []uint64
	// The first start in the same piece or any after it, once all are noted.
	next []uint64
}

func newCandidates(wanted []uint64) *candidates {
	c := &candidates{wanted: wanted, first: make([]uint64, len(wanted)+1), last: make([]uint64, len(wanted)+1)}
	for i := range c.first {
		c.first[i] = 1<<64 - 1
	}
	return c
}

// note is the first pass over a table.
func (c *candidates) note(t *symbolTable) error {
	return t.functions(func(s symbol) (bool, error) {
		if s.label {
			if name, err := t.name(s); err != nil || len(name) == 0 {
				return true, err
			}
		}
		i, _ := slices.BinarySearch(c.wanted, s.start)
		c.first[i], c.last[i] = min(c.first[i], s.start), max(c.last[i], s.start)
		return true, nil
	})
}

// noted ends the first pass.
func (c *candidates) noted() {
	c.next = slices.Clone(c.first)
	for i := len(c.next) - 2; i >= 0; i-- {
		c.next[i] = min(c.next[i], c.next[i+1])
	}
}

// openEnd is where a function without a size ends. That is exact if it covers a
// wanted address.
func (c *candidates) openEnd(s symbol, end uint64) uint64 {
	i, _ := slices.BinarySearch(c.wanted, s.start)
	if i == len(c.wanted) || c.last[i] != s.start {
		return s.start // another function begins before the next wanted address
	}
	return min(end, c.next[i+1])
}

// covered tells whether a wanted address is within start and end.
func (c *candidates) covered(start, end uint64) bool {
	i, _ := slices.BinarySearch(c.wanted, start)
	return i < len(c.wanted) && c.wanted[i] < end
}
