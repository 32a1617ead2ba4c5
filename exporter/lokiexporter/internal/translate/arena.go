package translate

import "github.com/grafana/loki/pkg/push"

// arena holds the structured metadata of a batch's entries. It consists of blocks
// that are reused for the next batch.
type arena struct {
	blocks [][]push.LabelAdapter
	used   int // number of blocks in use
}

const (
	blockPairs = 4096
	keptBlocks = 64 // 8 MiB
)

// room returns block if n more pairs fit into it, otherwise an empty block.
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

// release frees all blocks and clears them, so that they do not keep a batch in
// memory.
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
