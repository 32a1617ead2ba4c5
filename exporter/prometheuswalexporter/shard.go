package prometheuswalexporter

import (
	"context"
	"sync"
	"time"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/seglog"
)

// shard is a bounded queue of samples and the one goroutine that sends them.
// All samples of a series go through the same shard, one request at a time,
// which keeps them in order. What is being sent stays in the queue until the
// endpoint has answered for it.
//
//	        head            head+sending        tail
//	items ──▶│ being sent       │ waiting         │◀── push
//	marks    record ends, by which acknowledged samples become a log position
type shard struct {
	set shardSettings

	body []byte // the sender's: the request under way

	mu     sync.Mutex
	items  ring[remotewrite.Item]
	marks  ring[mark]
	extras extraStore
	head   uint64          // number of samples ever taken off
	acked  seglog.Position // all of this shard's samples before it are dealt with
	since  time.Time       // when the oldest waiting sample came, or the last request ended
	flush  bool            // send what there is without waiting for more

	wake chan struct{} // to the sender: enough is waiting, or a flush
	room chan struct{} // to the replayer: the queue got shorter
}

type shardSettings struct {
	capacity  int // samples from which on push is not welcome
	batch     int // samples in a request
	deadline  time.Duration
	deliver   func(ctx context.Context, s *shard, items [2][]remotewrite.Item) bool
	now       func() time.Time
	roomFreed chan struct{}
}

// mark says that the shard's samples up to number end are those of the log up
// to pos. base is the time of the record they came in.
type mark struct {
	end  uint64
	pos  seglog.Position
	base int64
}

func newShard(set shardSettings, acked seglog.Position) *shard {
	return &shard{set: set, acked: acked, wake: make(chan struct{}, 1), room: set.roomFreed}
}

// hasRoom reports whether push is welcome.
func (s *shard) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items.len() < s.set.capacity
}

// push appends the samples of one record, whose end is pos. extras belong to
// the items that have them, in order.
func (s *shard) push(items []remotewrite.Item, extras []remotewrite.Extra, pos seglog.Position, base int64) {
	if len(items) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items.len() == 0 {
		s.since = s.set.now()
	}
	if len(extras) > 0 {
		for i := range items {
			if items[i].Extra != 0 {
				items[i].Extra = s.extras.put(extras[items[i].Extra-1])
			}
		}
	}
	s.items.pushAll(items)
	s.marks.push(mark{end: s.head + uint64(s.items.len()), pos: pos, base: base})
	if n := s.items.len(); n >= s.set.batch || n == len(items) {
		notify(s.wake)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run sends until the context ends, or the queue is empty after startFlush.
func (s *shard) run(ctx context.Context) {
	timer := time.NewTimer(s.set.deadline)
	defer timer.Stop()
	for {
		items, wait := s.ready()
		if len(items[0]) > 0 {
			if !s.set.deliver(ctx, s, items) {
				return
			}
			s.done(len(items[0]) + len(items[1]))
			continue
		}
		if wait < 0 {
			return
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
	}
}

// ready returns the samples of the next request, or how long to wait for more,
// below 0 if none will come.
// The slices are parts of the queue and good until done.
func (s *shard) ready() (items [2][]remotewrite.Item, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.items.len()
	if n == 0 && s.flush {
		return items, -1
	}
	if n == 0 {
		return items, time.Hour
	}
	if n < s.set.batch && !s.flush {
		if wait := s.set.deadline - s.set.now().Sub(s.since); wait > 0 {
			return items, wait
		}
	}
	return s.items.front(min(n, s.set.batch)), 0
}

// done takes n samples off: the endpoint has them or will never have them.
func (s *shard) done(n int) {
	s.mu.Lock()
	parts := s.items.front(n)
	for _, part := range parts {
		for i := range part {
			if part[i].Extra != 0 {
				s.extras.free(part[i].Extra)
			}
		}
	}
	s.items.drop(n)
	s.head += uint64(n)
	for s.marks.len() > 0 && s.marks.at(0).end <= s.head {
		s.acked = s.marks.at(0).pos
		s.marks.drop(1)
	}
	s.since = s.set.now()
	s.mu.Unlock()
	notify(s.room)
}

// extra resolves Item.Extra.
func (s *shard) extra(n uint32) *remotewrite.Extra {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extras.get(n)
}

// position returns where the log is needed from, given how far it was handed
// to the shards, and the time of the oldest record waiting (0 if none is).
func (s *shard) position(cursor seglog.Position) (seglog.Position, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items.len() == 0 {
		s.acked = cursor
		return cursor, 0
	}
	return s.acked, s.marks.at(0).base
}

func (s *shard) length() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items.len()
}

// startFlush makes the shard send what it has and end. Nothing is pushed
// afterwards.
func (s *shard) startFlush() {
	s.mu.Lock()
	s.flush = true
	s.mu.Unlock()
	notify(s.wake)
}

// keep stamps the series of all samples in the queue as in use.
func (s *shard) keep(table *series.Table, clock uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range s.items.front(s.items.len()) {
		for i := range part {
			table.Keep(part[i].Slot, clock)
		}
	}
}

// extraStore holds what few samples have, by number from 1 on.
type extraStore struct {
	all   []*remotewrite.Extra
	holes []uint32
}

func (x *extraStore) put(e remotewrite.Extra) uint32 {
	if n := len(x.holes); n > 0 {
		i := x.holes[n-1]
		x.holes = x.holes[:n-1]
		x.all[i-1] = &e
		return i
	}
	x.all = append(x.all, &e)
	return uint32(len(x.all))
}

func (x *extraStore) get(n uint32) *remotewrite.Extra { return x.all[n-1] }

func (x *extraStore) free(n uint32) {
	x.all[n-1] = nil
	x.holes = append(x.holes, n)
}
