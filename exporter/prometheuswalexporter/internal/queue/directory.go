package queue

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walposition"
)

// directory is an open directory: its lock, its log, and the file with the
// position up to which the log is acknowledged.
type directory struct {
	path         string
	log          *seglog.Log
	unsentAtOpen seglog.Position
	lock         *os.File

	// mu is held while the position is written, which Queue.mu must not be.
	mu    sync.Mutex
	file  *walposition.File
	acked seglog.Position // from where on the log is needed, saved or not
	saved seglog.Position
	first seglog.Position // behind the segments that were deleted as acknowledged
	// saveErr is why saved is behind acked.
	saveErr error
}

// openDirectory locks the directory and opens what is in it.
func openDirectory(set *Settings) (*directory, error) {
	path, err := filepath.Abs(set.Dir)
	if err != nil {
		return nil, err
	}
	lock, err := dirlock.Lock(path, set.Owner)
	if err != nil {
		return nil, err
	}
	file, saved, err := walposition.Open(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	log, err := seglog.Open(seglog.Settings{
		Dir: path, SegmentSize: set.SegmentSize, FsyncInterval: set.FsyncInterval, Now: set.Now,
	})
	if err != nil {
		return nil, errors.Join(err, file.Close(), lock.Close())
	}
	log.SkipTo(saved)
	if file.Damaged {
		set.Logger.Warn("The file that says what has been sent is damaged; what the write-ahead log still holds is sent again")
	}
	stats, unsent := log.Stats(), saved
	if saved.Segment > 0 && saved.Segment < stats.First {
		// A segment is deleted when all of it was acknowledged, even if that
		// could not be saved.
		unsent = seglog.Position{Segment: stats.First}
	}
	set.Logger.Info("Opened the write-ahead log", zap.String("directory", path),
		zap.Int("segments", stats.Segments), zap.Int64("bytes", stats.Bytes), zap.Stringer("unsent_from", unsent))
	return &directory{path: path, log: log, unsentAtOpen: unsent, lock: lock, file: file, acked: unsent, saved: saved}, nil
}

// save writes the position that unsent returns, unless it has been saved, and
// returns an error that is new.
func (d *directory) save(unsent func() seglog.Position) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acked = unsent()
	if d.acked.Less(d.first) {
		d.acked = d.first // a shard may have acknowledged up to the end of a deleted segment
	}
	if d.acked == d.saved {
		return nil
	}
	if d.saveErr = d.file.Save(d.acked); d.saveErr != nil {
		return d.saveErr
	}
	d.saved = d.acked
	return nil
}

// passEnd notes that an acknowledged segment is deleted. It reports whether the
// position is in that segment.
func (d *directory) passEnd(segment uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.first = seglog.Position{Segment: segment + 1}
	return d.acked.Less(d.first)
}

// acknowledged returns from where on the log is needed, whether or not that
// could be saved.
func (d *directory) acknowledged() seglog.Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.acked
}

// lastSaveErr returns why the position is not saved, nil if it is.
func (d *directory) lastSaveErr() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saveErr
}

// close ends the log and gives the directory up.
func (d *directory) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return errors.Join(d.log.Close(), d.file.Close(), d.lock.Close())
}
