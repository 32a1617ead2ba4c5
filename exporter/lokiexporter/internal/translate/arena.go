package translate

import "github.com/grafana/loki/pkg/push"

// arena is where the entries of a batch have their structured metadata. It
// consists of blocks that are used again for the next batch.
type arena struct {
	blocks [][]push.LabelAdapter
	used   int // blocks in use
}

const (
	blockPairs = 4096
	keptBlocks = 64 // 8 MiB
)

// room returns block, if n pairs can be appended to it, or an empty block.
func (a *arena) room(block []push.LabelAdapter, n int) []push.LabelAdapter {
	if cap(block)-len(block) >= n {
		return block
	}
	a.used++
	if a.used > len(a.blocks) {
		a.blocks = append(a.blocks, make([]push.LabelAdapter, blockPairs))
	}
	if n > blockPairs {
		return make([]push.LabelAdapter, 0, n)
	}
	return a.blocks[a.used-1][:0]
}

// release makes all blocks free, and lets go of what they refer to.
func (a *arena) release() {
	for _, block := range a.blocks[:a.used] {
		clear(block)
	}
	a.used = 0
	if len(a.blocks) > keptBlocks {
		clear(a.blocks[keptBlocks:])
		a.blocks = a.blocks[:keptBlocks]
	}
}
