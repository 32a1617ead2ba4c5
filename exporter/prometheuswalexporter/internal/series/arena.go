package series

// arena stores lists of uint32 without a header or pointer for each. A released
// list is reused by lists of the same length.
type arena struct {
	blocks [][]uint32
	fill   int // used length of the last block
	free   map[uint16][]arenaRef
}

// arenaRef is a place in the arena: block number and offset.
type arenaRef uint32

// A list has at most 65,535 elements, which fit a block.
const (
	blockBits = 16
	blockSize = 1 << blockBits
)

func (a *arena) get(r arenaRef, n uint16) []uint32 {
	if n == 0 {
		return nil
	}
	at := int(r & (blockSize - 1))
	return a.blocks[r>>blockBits][at : at+int(n) : at+int(n)]
}

func (a *arena) put(list []uint32) arenaRef {
	n := len(list)
	if n == 0 {
		return 0
	}
	if free := a.free[uint16(n)]; len(free) > 0 {
		r := free[len(free)-1]
		a.free[uint16(n)] = free[:len(free)-1]
		copy(a.get(r, uint16(n)), list)
		return r
	}
	if len(a.blocks) == 0 || a.fill+n > blockSize {
		a.blocks, a.fill = append(a.blocks, make([]uint32, blockSize)), 0
	}
	r := arenaRef((len(a.blocks)-1)<<blockBits | a.fill)
	copy(a.blocks[len(a.blocks)-1][a.fill:], list)
	a.fill += n
	return r
}

func (a *arena) release(r arenaRef, n uint16) {
	if n == 0 {
		return
	}
	if a.free == nil {
		a.free = make(map[uint16][]arenaRef)
	}
	a.free[n] = append(a.free[n], r)
}
