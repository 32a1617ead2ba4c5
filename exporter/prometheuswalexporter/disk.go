package prometheuswalexporter

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.opentelemetry.io/collector/exporter"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walposition"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

type lockedError = dirlock.LockedError

// disk keeps the log's directory: it opens it, syncs it, remembers the
// position, and deletes what is not needed or has to go.
type disk struct {
	set    exporter.Settings
	cfg    *WALConfig
	dir    string
	logger *zap.Logger
	tel    *telemetry
	status *healthstatus.Reporter
	now    func() time.Time
	w      *writer

	mu    sync.Mutex // guards what follows
	lock  *os.File
	pos   *walposition.File
	saved seglog.Position
	acked seglog.Position // from where on the log is needed, saved or not
	// saveErr is why saved is behind acked.
	saveErr error
}

const (
	saveInterval   = 250 * time.Millisecond
	reopenInterval = 5 * time.Second
	sweepInterval  = 2 * time.Minute
)

// open takes the directory and gives the writer its log. The writer is not
// live afterwards: what the log holds comes first.
func (d *disk) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	lock, err := dirlock.Lock(dir, "exporter "+d.set.ID.String())
	if err != nil {
		return err
	}
	pos, saved, err := walposition.Open(dir)
	if err != nil {
		return errors.Join(err, lock.Close())
	}
	log, err := seglog.Open(seglog.Settings{
		Dir: dir, SegmentSize: int64(d.cfg.SegmentSize), FsyncInterval: d.cfg.FsyncInterval, Now: d.now,
	})
	if err != nil {
		return errors.Join(err, pos.Close(), lock.Close())
	}
	log.SkipTo(saved)
	stats := log.Stats()
	if pos.Damaged {
		d.logger.Warn("The file that says what has been sent is damaged; what the write-ahead log still holds is sent again")
	}
	d.lock, d.pos, d.saved = lock, pos, saved
	if saved.Segment > 0 && saved.Segment < stats.First {
		// A segment is deleted when all of it was acknowledged, even if that
		// could not be saved.
		saved = seglog.Position{Segment: stats.First}
	}
	d.acked = saved

	d.logger.Info("Opened the write-ahead log", zap.String("directory", dir),
		zap.Int("segments", stats.Segments), zap.Int64("bytes", stats.Bytes), zap.Stringer("unsent_from", saved))

	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	d.w.log, d.w.live, d.w.cursor, d.w.segment = log, false, saved, 0
	return nil
}

// unusable tells of a directory that cannot be used now.
func (d *disk) unusable(err error) {
	d.tel.appendFailed(err)
	d.w.mu.Lock()
	d.w.logErr = err
	d.w.mu.Unlock()
}

// run does the regular work until the context ends.
func (d *disk) run(ctx context.Context) {
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
			d.savePosition()
			d.trim()
			d.reportStatus()
		case <-reopen.C:
			d.reopenNow()
		case <-sweep.C:
			d.w.sweep(d.now())
		}
	}
}

// runSync syncs the log regularly until the context ends. It has a goroutine of
// its own, since a disk may take long.
func (d *disk) runSync(ctx context.Context) {
	if d.cfg.FsyncInterval <= 0 {
		return // each append syncs
	}
	tick := time.NewTicker(d.cfg.FsyncInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if log := d.log(); log != nil {
			if err := log.Sync(); err != nil {
				d.tel.appendFailed(err)
			}
		}
	}
}

func (d *disk) log() *seglog.Log {
	_, log := d.w.cursorAndLog()
	return log
}

// reopenNow tries a directory that could not be used at the start.
func (d *disk) reopenNow() {
	d.mu.Lock()
	isOpen := d.lock != nil
	d.mu.Unlock()
	if isOpen {
		return
	}
	if err := d.open(); err != nil {
		d.unusable(err)
		return
	}
	d.logger.Info("The write-ahead log can be used now", zap.String("directory", d.dir))
	notify(d.w.behind)
}

func (d *disk) savePosition() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.save()
}

func (d *disk) save() {
	if d.pos == nil {
		return
	}
	d.acked, _ = d.w.position()
	if d.acked == d.saved {
		return
	}
	if d.saveErr = d.pos.Save(d.acked); d.saveErr != nil {
		d.tel.saveFailed(d.saveErr)
		return
	}
	d.saved = d.acked
}

// reportStatus turns the outcome of the last append and Save into status.
func (d *disk) reportStatus() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.w.mu.Lock()
	err := d.w.logErr
	d.w.mu.Unlock()
	if err == nil {
		err = d.saveErr
	}
	if err != nil {
		d.status.Failing(reasonLog, err)
	} else {
		d.status.Healthy(reasonLog)
	}
}

// trim deletes segments that are acknowledged, then unsent ones beyond the
// limits. It does not ask whether the position could be saved: on a full disk
// that may take the room that it makes, and a segment that is gone needs no
// position to say that it has been sent.
func (d *disk) trim() {
	log := d.log()
	if log == nil {
		return
	}
	d.mu.Lock()
	acked := d.acked
	d.mu.Unlock()
	err := log.Trim(func(oldest seglog.Segment, s seglog.Stats) bool {
		switch end := (seglog.Position{Segment: oldest.Number, Offset: oldest.Bytes}); {
		case !acked.Less(end):
			if d.w.pass(oldest.Number) {
				d.savePosition() // so that nobody takes the segment for a missing one
			}
			return true
		case s.Bytes > int64(d.cfg.MaxSize):
			d.w.evict(d.dir, oldest.Number, dropMaxSize)
			return true
		case d.now().Sub(s.Oldest) > d.cfg.MaxAge:
			d.w.evict(d.dir, oldest.Number, dropMaxAge)
			return true
		}
		return false
	})
	if err != nil {
		d.tel.deleteFailed(err)
	}
}

// stats returns the log's size and the time of the oldest unsent sample.
func (d *disk) stats() (seglog.Stats, time.Time) {
	_, base := d.w.position()
	var oldest time.Time
	if base != 0 {
		oldest = time.UnixMilli(base)
	}
	log := d.log()
	if log == nil {
		return seglog.Stats{}, oldest
	}
	return log.Stats(), oldest
}

// close saves the position and ends the log.
func (d *disk) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lock == nil {
		return nil
	}
	d.save()
	return errors.Join(d.log().Close(), d.pos.Close(), d.lock.Close())
}

// close makes commits fail from now on.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// pass moves the cursor from the end of a segment that is deleted to the next.
// It reports whether it was there.
func (w *writer) pass(segment uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cursor.Segment != segment {
		return false
	}
	w.cursor = seglog.Position{Segment: segment + 1}
	return true
}

// evict gives up what of a segment has not been handed to the shards, and
// counts it.
func (w *writer) evict(dir string, segment uint64, reason string) {
	w.mu.Lock()
	cursor := w.cursor
	if cursor.Segment <= segment {
		w.cursor = seglog.Position{Segment: segment + 1}
	}
	w.mu.Unlock()
	if cursor.Segment > segment {
		return // all of it is in the queues, or sent
	}
	n := countSamples(dir, segment, cursor)
	w.tel.dropped(reason, n)
	w.tel.logger.Error("Dropped unsent samples: the write-ahead log has reached its limit",
		zap.String("reason", reason), zap.Int("samples", n), zap.Uint64("segment", segment))
}

// countSamples counts the samples of a segment from a position on.
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
			_ = walrecord.Decode(payload, &c) // what cannot be decoded is not counted here
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
