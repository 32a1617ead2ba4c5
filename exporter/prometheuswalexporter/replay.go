package prometheuswalexporter

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// replayRetry is the pause after the log could not be read.
const replayRetry = time.Second

// replayer feeds the shards from the log while the writer is not live: after
// a start with unsent samples, and after the endpoint lagged.
type replayer struct {
	w      *writer
	dir    string
	logger *zap.Logger
	room   chan struct{} // a shard's queue got shorter
	now    func() time.Time

	walrecord.Dictionary
	stage    stage
	found    []seriesFamily // what the record at hand defines
	samples  int
	unknown  int
	baseTime int64

	// mu guards slots against keep. A segment's series by number; 0 is unknown.
	mu    sync.Mutex
	slots []series.Slot
}

type seriesFamily struct {
	slot   series.Slot
	family uint32
}

// run replays whenever the writer asks, until the context ends.
func (r *replayer) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.w.behind:
		}
		for !r.catchUp(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(replayRetry):
			}
		}
	}
}

// catchUp reads from the writer's cursor to the end of the log and makes the
// writer live. It reports false if it has to be tried again.
func (r *replayer) catchUp(ctx context.Context) bool {
	defer r.forget()
	for {
		cursor, log := r.w.cursorAndLog()
		if log == nil {
			return r.w.goLive(cursor) // nothing to read
		}
		reader := seglog.NewReader(r.dir, cursor.Segment)
		reader.OnDamage = func(d seglog.Damage) {
			if d.At.Less(cursor) {
				return // seen before
			}
			if d.Torn {
				r.logger.Info("The write-ahead log has a record that was cut short: its writer was killed before it was committed",
					zap.Stringer("position", d.At), zap.Int64("bytes", d.Bytes))
				return
			}
			r.w.tel.damaged(1)
			r.logger.Warn("Skipped a damaged part of the write-ahead log",
				zap.Stringer("position", d.At), zap.Int64("bytes", d.Bytes), zap.String("reason", d.Reason))
		}
		reader.OnMissing = func(from, to uint64) {
			r.w.tel.damaged(int(to - from))
			r.logger.Warn("Segments of the write-ahead log are missing",
				zap.Uint64("first", from), zap.Uint64("next_present", to))
		}
		again, err := r.read(ctx, reader, cursor, log)
		_ = reader.Close() // it was only read
		switch {
		case ctx.Err() != nil:
			return true
		case err != nil:
			r.logger.Error("Cannot read the write-ahead log; trying again", zap.Error(err))
			return false
		case !again:
			return true
		}
	}
}

// read hands on records until the writer is live. It reports true if the
// writer moved the cursor, so that reading has to start over.
func (r *replayer) read(ctx context.Context, reader *seglog.Reader, cursor seglog.Position, log *seglog.Log) (bool, error) {
	segment := uint64(0)
	for {
		limit := log.End()
		payload, end, err := reader.Next(limit)
		if errors.Is(err, io.EOF) {
			if r.w.goLive(cursor) {
				return false, nil
			}
			if at, _ := r.w.cursorAndLog(); at != cursor {
				return true, nil
			}
			to := reader.Position()
			if !cursor.Less(to) {
				if log.End() != limit {
					continue // the log grew meanwhile
				}
				// The files are gone: somebody deleted them.
				r.w.tel.damaged(1)
				r.logger.Error("The write-ahead log's files are missing", zap.Stringer("from", cursor), zap.Stringer("to", limit))
				to = limit
			}
			// What lies between is damaged, or a segment's header.
			if !r.w.moveCursor(cursor, to) {
				return true, nil
			}
			cursor = to
			continue
		}
		if err != nil {
			return false, err
		}
		if end.Segment != segment {
			segment = end.Segment
			r.Reset()
			r.mu.Lock()
			r.slots = r.slots[:0]
			r.mu.Unlock()
		}
		if !cursor.Less(end) { // before the cursor: only its definitions matter
			if err := walrecord.DecodeDefinitions(payload, r); err != nil {
				r.undecodable(end, err)
			}
			continue
		}
		r.begin()
		if err := walrecord.Decode(payload, r); err != nil {
			r.undecodable(end, err)
		}
		r.w.tel.dropped(dropDamaged, r.unknown)
		for !r.w.haveRoom() {
			select {
			case <-ctx.Done():
				return false, nil
			case <-r.room:
			}
		}
		if !r.handOn(cursor, end) {
			return true, nil
		}
		cursor = end
	}
}

func (r *replayer) undecodable(at seglog.Position, err error) {
	r.w.tel.damaged(1)
	r.logger.Warn("Skipped an undecodable record of the write-ahead log", zap.Stringer("position", at), zap.Error(err))
}

func (r *replayer) begin() {
	r.stage.begin(len(r.w.shards))
	r.found = r.found[:0]
	r.samples, r.unknown, r.baseTime = 0, 0, 0
}

// handOn gives the staged record to the shards, unless the cursor has moved.
func (r *replayer) handOn(cursor, end seglog.Position) bool {
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	if r.w.cursor != cursor {
		return false
	}
	for _, f := range r.found {
		if e := r.w.table.Entry(f.slot); e.Family == 0 {
			e.Family = f.family
		}
	}
	r.stage.push(r.w.shards, end, r.baseTime)
	r.w.cursor = end
	r.w.tel.replayed(r.samples)
	return true
}

// forget frees what only replaying needs.
func (r *replayer) forget() {
	r.Dictionary = walrecord.Dictionary{}
	r.stage, r.found = stage{}, nil
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots = nil
}

// keep stamps the series of the segment being read as in use.
func (r *replayer) keep(table *series.Table, clock uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slots {
		if s != 0 {
			table.Keep(s, clock)
		}
	}
}

// Series implements walrecord.Handler.
func (r *replayer) Series(number, family uint64, pairs []uint64) {
	ls, ok := r.LabelSet(pairs)
	if !ok || !walrecord.Fits(r.slots, number) {
		return
	}
	clock := r.w.table.Clock(r.now())
	slot := r.w.table.Intern(ls, false, clock).Slot()
	if f, ok := r.LookupFamily(family); ok {
		n := r.w.table.InternFamily(series.Family(f), clock)
		r.found = append(r.found, seriesFamily{slot, n})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.slots = walrecord.Put(r.slots, number, slot)
}

// Sample implements walrecord.Handler.
func (r *replayer) Sample(s *walrecord.Sample) {
	if s.Series >= uint64(len(r.slots)) || r.slots[s.Series] == 0 {
		r.unknown++
		return
	}
	if r.samples == 0 {
		r.baseTime = s.T
	}
	r.samples++
	slot := r.slots[s.Series]
	if s.Start == 0 && s.Histogram == nil && s.Exemplars == nil {
		r.stage.add(slot, s.T, s.V)
		return
	}
	x := remotewrite.Extra{Start: s.Start, Exemplars: s.Exemplars}
	if s.Histogram != nil {
		x.Histogram = append([]byte{}, s.Histogram...) // the record's buffer is used again
	}
	r.stage.addExtra(slot, s.T, s.V, &x)
}

// cursorAndLog returns where the shards' knowledge of the log ends.
func (w *writer) cursorAndLog() (seglog.Position, *seglog.Log) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cursor, w.log
}

// goLive makes the writer live if the log ends at the cursor, or is not there.
func (w *writer) goLive(cursor seglog.Position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cursor != cursor || w.log != nil && cursor.Less(w.log.End()) {
		return false
	}
	w.live = true
	return true
}

// moveCursor passes over what could not be read.
func (w *writer) moveCursor(from, to seglog.Position) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cursor != from {
		return false
	}
	w.cursor = to
	return true
}
