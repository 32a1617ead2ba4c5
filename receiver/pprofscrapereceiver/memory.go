package pprofscrapereceiver

import (
	"context"
	"fmt"
)

// memoryLimit bounds the memory for reading answers. It is divided into parts, for
// which loops wait. It is safe for concurrent use.
type memoryLimit struct {
	part  int64         // bytes
	taken chan struct{} // has an element for each part in use
	turn  chan struct{} // a lock: only one loop at a time collects parts
}

// memoryParts is the largest number of answers that are read at a time.
const memoryParts = 16

// newMemoryLimit returns a limit of most bytes, which suffices for one answer of the
// largest size.
func newMemoryLimit(most int64) *memoryLimit {
	return &memoryLimit{part: max(most/memoryParts, 1), taken: make(chan struct{}, memoryParts), turn: make(chan struct{}, 1)}
}

// acquire waits until n bytes are available or ctx is done. The caller must call
// release once. If n exceeds the limit, acquire waits for all of it.
func (m *memoryLimit) acquire(ctx context.Context, n int64) (release func(), err error) {
	parts := int(min((n+m.part-1)/m.part, memoryParts))
	select {
	case m.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for memory to read the answer: %w", ctx.Err())
	}
	defer func() { <-m.turn }()
	for acquired := range parts {
		select {
		case m.taken <- struct{}{}:
		case <-ctx.Done():
			m.release(acquired)
			return nil, fmt.Errorf("wait for memory to read the answer: %w", ctx.Err())
		}
	}
	return func() { m.release(parts) }, nil
}

func (m *memoryLimit) release(parts int) {
	for range parts {
		<-m.taken
	}
}
