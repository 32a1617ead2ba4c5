package pprofscrapereceiver

import (
	"context"
	"fmt"
)

// room is the memory in which answers are read, in parts. Loops wait for their
// parts, so that many targets with large answers take no more than there is. It may
// be used concurrently.
type room struct {
	part  int64         // bytes
	taken chan struct{} // has one for each part that is taken
	turn  chan struct{} // holds one: who takes several parts does so alone
}

// roomParts is how many answers are read at a time at most.
const roomParts = 16

// newRoom makes a room for one answer that takes the most it may, in bytes, or several
// that take less.
func newRoom(most int64) *room {
	return &room{part: max(most/roomParts, 1), taken: make(chan struct{}, roomParts), turn: make(chan struct{}, 1)}
}

// take waits for n bytes, or until ctx ends. The caller gives them back by release,
// which it must call once.
func (r *room) take(ctx context.Context, n int64) (release func(), err error) {
	parts := int(min((n+r.part-1)/r.part, roomParts))
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for memory to read the answer: %w", ctx.Err())
	}
	defer func() { <-r.turn }()
	for got := range parts {
		select {
		case r.taken <- struct{}{}:
		case <-ctx.Done():
			r.give(got)
			return nil, fmt.Errorf("wait for memory to read the answer: %w", ctx.Err())
		}
	}
	return func() { r.give(parts) }, nil
}

func (r *room) give(parts int) {
	for range parts {
		<-r.taken
	}
}
