package prometheuswalexporter

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.opentelemetry.io/collector/exporter"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/seglog"
	"github.com/invar-otel/invar/internal/walposition"
	"github.com/invar-otel/invar/internal/walrecord"
)

type lockedError = seglog.LockedError

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

	lock  *os.File
	pos   *walposition.File
	saved seglog.Position
}

const (
	saveInterval   = 250 * time.Millisecond
	reopenInterval = 5 * time.Second
	sweepInterval  = 2 * time.Minute
)

// open takes the directory and gives the writer its log. The writer is not
// live afterwards: what the log holds comes first.
func (d *disk) open() error {
	dir, err := filepath.Abs(d.dir)
	if err != nil {
		return err
	}
	lock, err := seglog.Lock(dir, "exporter "+d.set.ID.String())
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
	log.SkipTo(saved.Segment + 1)
	d.lock, d.pos, d.saved = lock, pos, saved

	stats := log.Stats()
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
	fsync := make(<-chan time.Time)
	if d.cfg.FsyncInterval > 0 {
		t := time.NewTicker(d.cfg.FsyncInterval)
		defer t.Stop()
		fsync = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-fsync:
			d.sync()
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

func (d *disk) sync() {
	if d.lock == nil {
		return
	}
	if err := d.log().Sync(); err != nil {
		d.tel.appendFailed(err)
	}
}

func (d *disk) log() *seglog.Log {
	_, log := d.w.cursorAndLog()
	return log
}

// reopenNow tries a directory that could not be used at the start.
func (d *disk) reopenNow() {
	if d.lock != nil {
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
	if d.pos == nil {
		return
	}
	pos, _ := d.w.position()
	if pos == d.saved {
		return
	}
	if err := d.pos.Save(pos); err != nil {
		d.tel.appendFailed(err)
		return
	}
	d.saved = pos
}

// reportStatus turns the outcome of the last append into status.
func (d *disk) reportStatus() {
	d.w.mu.Lock()
	err := d.w.logErr
	d.w.mu.Unlock()
	if err != nil {
		d.status.Failing(reasonLog, err)
	} else {
		d.status.Healthy(reasonLog)
	}
}

// trim deletes segments that are acknowledged, then unsent ones beyond the
// limits.
func (d *disk) trim() {
	log := d.log()
	if log == nil {
		return
	}
	err := log.Trim(func(segment uint64, s seglog.Stats) bool {
		if segment < d.saved.Segment {
			return true
		}
		switch {
		case s.Bytes > int64(d.cfg.MaxSize):
			d.w.evict(d.dir, segment, dropMaxSize)
			return true
		case d.now().Sub(s.Oldest) > d.cfg.MaxAge:
			d.w.evict(d.dir, segment, dropMaxAge)
			return true
		}
		return false
	})
	if err != nil {
		d.logger.Error("Cannot delete from the write-ahead log", zap.Error(err))
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
	if d.lock == nil {
		return nil
	}
	d.savePosition()
	return errors.Join(d.log().Close(), d.pos.Close(), d.lock.Close())
}

// close makes commits fail from now on.
func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
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
