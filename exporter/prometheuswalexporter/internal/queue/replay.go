package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/wal/seglog"
)

// replayRetry is the pause after the log could not be read.
const replayRetry = time.Second

// replay makes the queue Live whenever it is behind: after a start with unsent
// samples, and after the endpoint lagged. It returns when ctx ends.
func (q *Queue) replay(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.behind:
		}
		for q.catchUp(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-time.After(replayRetry):
			}
		}
	}
}

// catchUp reads from the cursor to the end of the log and makes the queue Live.
// It returns an error if the log cannot be read, and nil if ctx ended.
func (q *Queue) catchUp(ctx context.Context) error {
	defer q.decoder.forget()
	for {
		cursor, dir := q.handedOver()
		if dir == nil {
			if q.goLive(cursor) {
				return nil // there is nothing to read
			}
			continue // the directory has been opened since
		}
		reached, err := q.readFrom(ctx, cursor, dir)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			q.set.Logger.Error("Cannot read the write-ahead log; trying again", zap.Error(err))
			return err
		case reached == isLive:
			return nil
		}
	}
}

// progress is how far reading the log has come.
type progress int

const (
	hasMore     progress = iota // there is more to read
	isLive                      // all is read, and the queue is Live
	isOvertaken                 // the cursor was moved elsewhere: read again from there
	isStopped                   // by the context or an error
)

// readFrom hands over the records of the log from the cursor on.
func (q *Queue) readFrom(ctx context.Context, cursor seglog.Position, dir *directory) (progress, error) {
	reader := seglog.NewReader(dir.path, cursor.Segment)
	defer reader.Close()
	start := cursor
	reader.OnDamage = func(d seglog.Damage) {
		if !d.At.Less(start) { // otherwise it was reported before
			q.reportDamage(d)
		}
	}
	reader.OnMissing = func(from, to uint64) {
		q.set.Observer.Damaged(int(to - from))
		q.set.Logger.Warn("Segments of the write-ahead log are missing",
			zap.Uint64("first", from), zap.Uint64("next_present", to))
	}
	segment := uint64(0)
	for {
		limit := dir.log.End()
		payload, end, err := reader.Next(limit)
		if errors.Is(err, io.EOF) {
			var reached progress
			if cursor, reached = q.atEnd(cursor, limit, reader.Position(), dir.log); reached != hasMore {
				return reached, nil
			}
			continue
		}
		if err != nil {
			return isStopped, err
		}
		if end.Segment != segment {
			segment = end.Segment
			q.decoder.beginSegment()
		}
		if !cursor.Less(end) { // before the cursor: only its definitions matter
			q.reportUndecodable(end, q.decoder.decodeDefinitions(payload))
			continue
		}
		q.reportUndecodable(end, q.decoder.decode(payload, len(q.shards)))
		q.set.Observer.Dropped(DropDamaged, q.decoder.unknown)
		for !q.hasRoom() {
			select {
			case <-ctx.Done():
				return isStopped, nil
			case <-q.room:
			}
		}
		if !q.handOver(cursor, end) {
			return isOvertaken, nil
		}
		cursor = end
	}
}

// atEnd is called when the reader has nothing up to limit, the end of the log a
// moment ago, and stands at read. It returns the cursor to go on from.
func (q *Queue) atEnd(cursor, limit, read seglog.Position, log *seglog.Log) (seglog.Position, progress) {
	if q.goLive(cursor) {
		return cursor, isLive
	}
	if now, _ := q.handedOver(); now != cursor {
		return now, isOvertaken
	}
	if !cursor.Less(read) {
		if log.End() != limit {
			return cursor, hasMore // the log has grown
		}
		// The files are gone: somebody deleted them.
		q.set.Observer.Damaged(1)
		q.set.Logger.Error("The write-ahead log's files are missing", zap.Stringer("from", cursor), zap.Stringer("to", limit))
		read = limit
	}
	// What lies between is damaged, or the header of a segment.
	if !q.skip(cursor, read) {
		return cursor, isOvertaken
	}
	return read, hasMore
}

func (q *Queue) reportDamage(d seglog.Damage) {
	if d.Torn {
		q.set.Logger.Info("The write-ahead log has a record that was cut short: its writer was killed before it was committed",
			zap.Stringer("position", d.At), zap.Int64("bytes", d.Bytes))
		return
	}
	q.set.Observer.Damaged(1)
	q.set.Logger.Warn("Skipped a damaged part of the write-ahead log",
		zap.Stringer("position", d.At), zap.Int64("bytes", d.Bytes), zap.String("reason", d.Reason))
}

func (q *Queue) reportUndecodable(at seglog.Position, err error) {
	if err != nil {
		q.set.Observer.Damaged(1)
		q.set.Logger.Warn("Skipped an undecodable record of the write-ahead log", zap.Stringer("position", at), zap.Error(err))
	}
}

// handedOver returns the cursor and the directory, nil if there is none.
func (q *Queue) handedOver() (seglog.Position, *directory) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.cursor, q.dir
}

// goLive makes the queue Live if the log ends at the cursor, or if there is no
// log. It reports whether it did; in a closed queue it only reports.
func (q *Queue) goLive(cursor seglog.Position) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cursor != cursor || q.dir != nil && cursor.Less(q.dir.log.End()) {
		return false
	}
	if q.mode == Replaying {
		q.mode = Live
	}
	return true
}

// skip moves the cursor over what cannot be read. It reports whether the cursor
// was at from.
func (q *Queue) skip(from, to seglog.Position) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cursor != from {
		return false
	}
	q.cursor = to
	return true
}

// handOver gives the record that the decoder holds to the shards and moves the
// cursor to its end. It reports whether the cursor was at from; otherwise it
// does nothing.
func (q *Queue) handOver(from, end seglog.Position) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.cursor != from {
		return false
	}
	q.decoder.assignFamilies()
	q.decoder.stage.push(q.shards, end, q.decoder.base)
	q.cursor = end
	q.set.Observer.Replayed(q.decoder.samples)
	return true
}
