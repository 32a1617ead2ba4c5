package elfsymbols

import "slices"

// candidates selects the functions of a partial table: those that cover one of the
// wanted addresses. A function without a size ends where the next one begins, so a
// first pass over all symbols (note, then noted) finds the functions next to the wanted
// addresses.
type candidates struct {
	wanted []uint64 // ascending and unique
	// first and last are the lowest and highest start after wanted[i-1] and up to
	// wanted[i]. first > last if no function begins there.
	first, last []uint64
	// next[i] is the lowest of first[i:]. It is set by noted.
	next []uint64
}

func newCandidates(wanted []uint64) *candidates {
	c := &candidates{wanted: wanted, first: make([]uint64, len(wanted)+1), last: make([]uint64, len(wanted)+1)}
	for i := range c.first {
		c.first[i] = 1<<64 - 1
	}
	return c
}

// note runs the first pass over a table.
func (c *candidates) note(t *symbolTable) error {
	return t.functions(func(s symbol) error {
		if s.label {
			if name, err := t.name(s); err != nil || len(name) == 0 {
				return err
			}
		}
		i, _ := slices.BinarySearch(c.wanted, s.start)
		c.first[i], c.last[i] = min(c.first[i], s.start), max(c.last[i], s.start)
		return nil
	})
}

// noted ends the first pass.
func (c *candidates) noted() {
	c.next = slices.Clone(c.first)
	for i := len(c.next) - 2; i >= 0; i-- {
		c.next[i] = min(c.next[i], c.next[i+1])
	}
}

// openEnd returns the end of a function without a size, at most end. It is exact if
// the function covers a wanted address.
func (c *candidates) openEnd(s symbol, end uint64) uint64 {
	i, _ := slices.BinarySearch(c.wanted, s.start)
	if i == len(c.wanted) || c.last[i] != s.start {
		return s.start // another function begins before the next wanted address
	}
	return min(end, c.next[i+1])
}

// covered reports whether a wanted address is in [start, end).
func (c *candidates) covered(start, end uint64) bool {
	i, _ := slices.BinarySearch(c.wanted, start)
	return i < len(c.wanted) && c.wanted[i] < end
}
