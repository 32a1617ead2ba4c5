package queue

import (
	"context"
	"sync"
	"time"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/seglog"
)

// shard is a bounded queue of samples and the goroutine that sends them. All
// samples of a series go through the same shard, one request at a time, which
// keeps them in order. What is being sent stays in the queue until the endpoint
// has answered for it.
//
//	        head            head+sending        tail
//	items ──▶│ being sent       │ waiting         │◀── push
//	marks    record ends, which turn acknowledged samples into a log position
type shard struct {
	set     *Settings
	request Request       // of run
	wake    chan struct{} // to run: enough is waiting, or a flush
	room    chan struct{} // to replay: the queue got shorter

	mu       sync.Mutex
	items    ring[remotewrite.Item]
	marks    ring[mark]
	extras   extraStore
	head     uint64          // number of samples ever taken off
	acked    seglog.Position // all of this shard's samples before it are dealt with
	since    time.Time       // when the oldest waiting sample came, or the last request ended
	flushing bool            // send what there is and end
}

// mark says that the shard's samples up to number end are those of the log up
// to pos. base is the time of their record.
type mark struct {
	end  uint64
	pos  seglog.Position
	base int64
}

func newShard(set *Settings, acked seglog.Position, room, draining chan struct{}) *shard {
	s := &shard{set: set, acked: acked, room: room, wake: make(chan struct{}, 1)}
	s.request = Request{Draining: draining, extras: s.extra}
	return s
}

// hasRoom reports whether there are less samples than the capacity. push does not
// check it: a record is pushed as a whole.
func (s *shard) hasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items.len() < s.set.capacity()
}

// push appends the samples of one record, which ends at pos. Item.Extra is an
// index in extras plus 1, or 0. Both slices belong to the caller afterwards.
func (s *shard) push(items []remotewrite.Item, extras []remotewrite.Extra, pos seglog.Position, base int64) {
	if len(items) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items.len() == 0 {
		s.since = s.set.Now()
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
	if n := s.items.len(); n >= s.set.MaxSamplesPerSend || n == len(items) {
		notify(s.wake)
	}
}

// run sends until ctx ends, or the queue is empty after startFlush.
func (s *shard) run(ctx context.Context) {
	timer := time.NewTimer(s.set.BatchSendDeadline)
	defer timer.Stop()
	for {
		switch state, wait := s.prepare(); state {
		case stateDrained:
			return
		case stateReady:
			if s.set.Deliver(ctx, &s.request) == Interrupted {
				return
			}
			s.done(s.request.Len())
		case stateWaiting:
			timer.Reset(wait)
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
			case <-timer.C:
			}
		}
	}
}

// sendState says whether there is something to send.
type sendState int

const (
	stateWaiting sendState = iota // for more samples
	stateReady                    // the request holds samples
	stateDrained                  // there is nothing, and nothing will come
)

// prepare fills the request, or returns how long to wait for more samples.
func (s *shard) prepare() (state sendState, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.items.len()
	switch {
	case n == 0 && s.flushing:
		return stateDrained, 0
	case n == 0:
		return stateWaiting, time.Hour
	case n < s.set.MaxSamplesPerSend && !s.flushing:
		if wait := s.set.BatchSendDeadline - s.set.Now().Sub(s.since); wait > 0 {
			return stateWaiting, wait
		}
	}
	s.request.Items = s.items.front(min(n, s.set.MaxSamplesPerSend))
	return stateReady, 0
}

// done takes n samples off, which the endpoint has accepted or refused.
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
	s.since = s.set.Now()
	s.mu.Unlock()
	notify(s.room)
}

// extra resolves Item.Extra.
func (s *shard) extra(n uint32) *remotewrite.Extra {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extras.get(n)
}

// unsent returns from where on the log is needed, given how far it was handed
// to the shards, and the time of the oldest record waiting, 0 if there is none.
func (s *shard) unsent(cursor seglog.Position) (seglog.Position, int64) {
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

// startFlush makes the shard send what it has, and run return. Nothing may be
// pushed afterwards.
func (s *shard) startFlush() {
	s.mu.Lock()
	s.flushing = true
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
