package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/wal/seglog"
)

// Settings are what a Queue needs. All of them are required, except that
// durations may be 0.
type Settings struct {
	// Dir is the directory of the log. It belongs to this queue alone; Owner is
	// the name that another user of it is told.
	Dir, Owner string

	MaxSize       int64         // bytes of the log from which on unsent samples are dropped
	MaxAge        time.Duration // age from which on unsent samples are dropped
	SegmentSize   int64         // bytes
	FsyncInterval time.Duration // 0 syncs every record

	// OutOfOrderWindow is how much older than the newest of its series a sample
	// of order WithinWindow may be.
	OutOfOrderWindow time.Duration

	Shards            int // requests that can be under way at a time
	MaxSamplesPerSend int
	BatchSendDeadline time.Duration // how long a sample waits for others

	// Table holds the series of the samples. The queue decides when series are
	// forgotten.
	Table    *series.Table
	Deliver  Deliver
	Observer Observer
	Logger   *zap.Logger
	Now      func() time.Time
}

// capacity is the number of samples in a shard from which on it is full.
func (s *Settings) capacity() int { return 2 * s.MaxSamplesPerSend }

// Mode says who gives samples to the shards.
type Mode int

const (
	// Replaying means that Commit only appends to the log and replay gives the
	// shards what the log holds.
	Replaying Mode = iota
	// Live means that the shards have been given all that the log holds, and
	// Commit gives them what is new.
	Live
	// Closed means that Commit fails.
	Closed
)

// Queue is a durable queue of samples. Its methods are safe for concurrent use.
type Queue struct {
	set    Settings
	shards []*shard
	behind chan struct{} // to replay: the queue is not Live any more
	room   chan struct{} // to replay: a shard has taken samples off

	decoder segmentDecoder // of replay

	sending, replaying, housekeeping workers
	// draining is closed when Close asks the shards for a last attempt.
	draining chan struct{}

	mu        sync.Mutex
	mode      Mode
	dir       *directory      // nil while the directory cannot be used
	cursor    seglog.Position // the log before it has been given to the shards
	logErr    error           // of the last append, nil if it succeeded
	recorder  recorder
	admission admission
	stage     stage
}

// Open takes the directory. Its error is a *dirlock.LockedError: another user
// has it. A directory that cannot be used for another reason is tried again
// after Start, and the queue works without a log until then.
//
// The queue is Replaying: what the log holds is sent first. Commit may be
// called before Start.
func Open(set Settings) (*Queue, error) {
	q := &Queue{
		set:       set,
		behind:    make(chan struct{}, 1),
		room:      make(chan struct{}, 1),
		draining:  make(chan struct{}),
		decoder:   segmentDecoder{table: set.Table, now: set.Now},
		admission: admission{window: set.OutOfOrderWindow.Milliseconds(), observer: set.Observer},
	}
	dir, err := openDirectory(&q.set)
	var locked *dirlock.LockedError
	switch {
	case errors.As(err, &locked):
		return nil, err
	case err != nil:
		q.unusable(err)
	default:
		q.attach(dir)
	}
	for range set.Shards {
		q.shards = append(q.shards, newShard(&q.set, q.cursor, q.room, q.draining))
	}
	notify(q.behind) // unsent samples of the last run
	return q, nil
}

// Start begins to send, to replay and to look after the directory, until Close.
func (q *Queue) Start() {
	for _, s := range q.shards {
		q.sending.start(s.run)
	}
	q.replaying.start(q.replay)
	q.housekeeping.start(q.keepHouse)
	q.housekeeping.start(q.syncRegularly)
}

// drainTimeout bounds how long Close waits for the endpoint. What it has not
// accepted by then is in the log and sent after the next start.
const drainTimeout = 5 * time.Second

// Close makes Commit fail, gives the endpoint a last chance to accept what is
// in memory, until ctx ends or a few seconds have passed, and closes the
// directory. It may be called without Start, and must not be called twice.
func (q *Queue) Close(ctx context.Context) error {
	q.mu.Lock()
	q.mode = Closed
	q.mu.Unlock()
	q.replaying.stop()

	close(q.draining)
	for _, s := range q.shards {
		s.startFlush()
	}
	timeout, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	stop := context.AfterFunc(timeout, q.sending.cancelAll)
	defer stop()
	q.sending.wait()
	q.sending.stop()

	q.housekeeping.stop()
	q.reportUnsent()
	return q.closeDirectory()
}

// reportUnsent says what happens to samples that the endpoint has not accepted.
func (q *Queue) reportUnsent() {
	switch s := q.Stats(); {
	case !s.HasLog && s.Waiting > 0:
		q.set.Observer.Dropped(DropNotLogged, s.Waiting)
		q.set.Logger.Error("Dropped unsent samples: the write-ahead log cannot be used", zap.Int("samples", s.Waiting))
	case s.HasLog && s.Unsent.Less(s.End):
		q.set.Logger.Info("The write-ahead log keeps samples that have not been sent; they are sent after the next start",
			zap.Stringer("from", s.Unsent), zap.Stringer("to", s.End))
	}
}

// Stats describe a queue at a moment.
type Stats struct {
	Mode     Mode
	Waiting  int   // samples in the shards
	Capacity int   // samples in the shards from which on the queue is behind
	LogErr   error // of the last append, nil if it succeeded

	HasLog bool // false while the directory cannot be used; what follows is zero then
	Log    seglog.Stats
	End    seglog.Position // of the log

	Unsent seglog.Position // from where on the log is still needed
	Oldest time.Time       // of the oldest record in the shards, zero if they are empty
}

// Stats returns the state of the queue.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := Stats{Mode: q.mode, Capacity: len(q.shards) * q.set.capacity(), LogErr: q.logErr, HasLog: q.dir != nil}
	for _, sh := range q.shards {
		s.Waiting += sh.length()
	}
	var base int64
	if s.Unsent, base = q.unsent(); base != 0 {
		s.Oldest = time.UnixMilli(base)
	}
	if s.HasLog {
		s.Log, s.End = q.dir.log.Stats(), q.dir.log.End()
	}
	return s
}

// unsent returns from where on the log is needed and the time of the oldest
// record in the shards, 0 if there is none. The caller holds mu.
func (q *Queue) unsent() (seglog.Position, int64) {
	from, oldest := q.cursor, int64(0)
	for _, s := range q.shards {
		pos, base := s.unsent(q.cursor)
		if pos.Less(from) {
			from = pos
		}
		if base != 0 && (oldest == 0 || base < oldest) {
			oldest = base
		}
	}
	return from, oldest
}

// attach gives the queue its log. What the log holds comes first.
func (q *Queue) attach(dir *directory) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dir, q.cursor = dir, dir.unsentAtOpen
	if q.mode == Live {
		q.mode = Replaying
	}
	q.recorder.forgetSegment()
}

// unusable reports a directory that cannot be used now.
func (q *Queue) unusable(err error) {
	q.set.Observer.AppendFailed(err)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.logErr = err
}

// fallBehind leaves the shards to replay. The caller holds mu.
func (q *Queue) fallBehind() {
	q.mode = Replaying
	notify(q.behind)
}

// hasRoom reports whether no shard is full.
func (q *Queue) hasRoom() bool {
	for _, s := range q.shards {
		if !s.hasRoom() {
			return false
		}
	}
	return true
}

// workers are goroutines that end together.
type workers struct {
	cancels []context.CancelFunc
	wg      sync.WaitGroup
}

func (w *workers) start(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancels = append(w.cancels, cancel)
	w.wg.Go(func() { f(ctx) })
}

func (w *workers) cancelAll() {
	for _, cancel := range w.cancels {
		cancel()
	}
}

func (w *workers) wait() { w.wg.Wait() }

func (w *workers) stop() {
	w.cancelAll()
	w.wg.Wait()
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
