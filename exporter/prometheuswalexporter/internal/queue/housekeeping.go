package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

const (
	saveInterval   = 250 * time.Millisecond
	reopenInterval = 5 * time.Second
	sweepInterval  = 2 * time.Minute
)

// keepHouse does the regular work until ctx ends.
func (q *Queue) keepHouse(ctx context.Context) {
	save := time.NewTicker(saveInterval)
	defer save.Stop()
	reopen := time.NewTicker(reopenInterval)
	defer reopen.Stop()
	sweep := time.NewTicker(sweepInterval)
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-save.C:
			if dir := q.directory(); dir != nil {
				q.save(dir)
				q.trim(dir)
			}
			q.reportHealth()
		case <-reopen.C:
			q.reopen()
		case <-sweep.C:
			q.sweep(q.set.Now())
		}
	}
}

// directory returns the open directory, nil if there is none.
func (q *Queue) directory() *directory {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.dir
}

// syncRegularly syncs the log until ctx ends. It has a goroutine of its own,
// because a disk may take long.
func (q *Queue) syncRegularly(ctx context.Context) {
	if q.set.FsyncInterval <= 0 {
		return // each append syncs
	}
	tick := time.NewTicker(q.set.FsyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if dir := q.directory(); dir != nil {
			if err := dir.log.Sync(); err != nil {
				q.set.Observer.AppendFailed(err)
			}
		}
	}
}

// reopen tries a directory that could not be used before.
func (q *Queue) reopen() {
	if q.directory() != nil {
		return
	}
	dir, err := openDirectory(&q.set)
	if err != nil {
		q.unusable(err)
		return
	}
	q.attach(dir)
	q.set.Logger.Info("The write-ahead log can be used now", zap.String("directory", dir.path))
	notify(q.behind)
}

// save saves up to where the log has been acknowledged.
func (q *Queue) save(dir *directory) {
	err := dir.save(func() seglog.Position {
		q.mu.Lock()
		defer q.mu.Unlock()
		pos, _ := q.unsent()
		return pos
	})
	if err != nil {
		q.set.Observer.SaveFailed(err)
	}
}

// reportHealth reports the outcome of the last append and save.
func (q *Queue) reportHealth() {
	q.mu.Lock()
	dir, err := q.dir, q.logErr
	q.mu.Unlock()
	if err == nil && dir != nil {
		err = dir.lastSaveErr()
	}
	q.set.Observer.LogHealth(err)
}

// trim deletes segments that are acknowledged, then unsent ones beyond the
// limits. It does not ask whether the position could be saved: on a full disk
// that may take the room that trim makes, and a deleted segment needs no
// position that says it has been sent.
func (q *Queue) trim(dir *directory) {
	acked := dir.acknowledged()
	err := dir.log.Trim(func(oldest seglog.Segment, s seglog.Stats) bool {
		switch end := (seglog.Position{Segment: oldest.Number, Offset: oldest.Bytes}); {
		case !acked.Less(end):
			q.passEnd(oldest.Number)
			if dir.passEnd(oldest.Number) {
				q.save(dir) // or the segment would be reported as missing
			}
			return true
		case s.Bytes > q.set.MaxSize:
			q.evict(dir, oldest.Number, DropMaxSize)
			return true
		case q.set.Now().Sub(s.Oldest) > q.set.MaxAge:
			q.evict(dir, oldest.Number, DropMaxAge)
			return true
		}
		return false
	})
	if err != nil {
		q.set.Observer.DeleteFailed(err)
	}
}

// passEnd moves the cursor from the end of a segment that is deleted to the
// next.
func (q *Queue) passEnd(segment uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cursor.Segment == segment {
		q.cursor = seglog.Position{Segment: segment + 1}
	}
}

// evict gives up what of a segment has not been given to the shards, and counts
// it.
func (q *Queue) evict(dir *directory, segment uint64, reason string) {
	q.mu.Lock()
	cursor := q.cursor
	if cursor.Segment <= segment {
		q.cursor = seglog.Position{Segment: segment + 1}
	}
	q.mu.Unlock()
	if cursor.Segment > segment {
		return // all of it is in the shards, or sent
	}
	n := countSamples(dir.path, segment, cursor)
	q.set.Observer.Dropped(reason, n)
	q.set.Logger.Error("Dropped unsent samples: the write-ahead log has reached its limit",
		zap.String("reason", reason), zap.Int("samples", n), zap.Uint64("segment", segment))
}

// countSamples counts the samples of a segment from a position on. What cannot
// be read or decoded is not counted.
func countSamples(dir string, segment uint64, from seglog.Position) int {
	r := seglog.NewReader(dir, segment)
	defer r.Close()
	var c sampleCounter
	for {
		payload, end, err := r.Next(seglog.Position{Segment: segment + 1})
		if errors.Is(err, io.EOF) || err != nil {
			return int(c)
		}
		if from.Less(end) {
			_ = walrecord.Decode(payload, &c) // not counted
		}
	}
}

// sampleCounter is a walrecord.Handler that counts.
type sampleCounter int

func (*sampleCounter) Symbol(uint64, []byte)                       {}
func (*sampleCounter) Pair(uint64, uint64, uint64)                 {}
func (*sampleCounter) Family(uint64, byte, uint64, uint64, uint64) {}
func (*sampleCounter) Series(uint64, uint64, []uint64)             {}
func (c *sampleCounter) Sample(*walrecord.Sample)                  { *c++ }

// sweepAfter is for how long a series is kept without a sample. A scraper that
// comes back later brings the labels again; only a staleness marker after more
// than that is lost.
const sweepAfter = time.Hour

// sweep forgets series that are no longer written, except those in a shard.
func (q *Queue) sweep(now time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	table := q.set.Table
	clock := table.Clock(now)
	for _, s := range q.shards {
		s.keep(table, clock)
	}
	q.decoder.keep(clock)
	table.Sweep(table.Clock(now.Add(-sweepAfter)))
	q.admission.exemplars.sweep(table)
}

// closeDirectory saves the position and closes the directory.
func (q *Queue) closeDirectory() error {
	dir := q.directory()
	if dir == nil {
		return nil
	}
	q.save(dir)
	return dir.close()
}
