package fleet

import (
	"context"
	"sync"
)

// watchers are told about changes. It is safe for concurrent use.
type watchers struct {
	mu       sync.Mutex
	channels map[chan struct{}]struct{}
}

func newWatchers() *watchers { return &watchers{channels: map[chan struct{}]struct{}{}} }

// notify wakes all watchers. It does not block.
func (w *watchers) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.channels {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// watch calls changed after calls of notify, once for any number of them, until ctx
// ends.
func (w *watchers) watch(ctx context.Context, changed func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	w.channels[c] = struct{}{}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.channels, c)
		w.mu.Unlock()
	}()
	for {
		select {
		case <-c:
			changed()
		case <-ctx.Done():
			return
		}
	}
}
