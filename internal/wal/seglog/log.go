package seglog

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const extension = ".seg"

// Settings are what a Log needs.
type Settings struct {
	Dir           string
	SegmentSize   int64            // bytes after which a new segment begins
	FsyncInterval time.Duration    // 0 syncs on every Append
	Now           func() time.Time // nil is time.Now
}

// Segment describes a segment's file.
type Segment struct {
	Number  uint64
	Bytes   int64
	Written time.Time // the last write
}

// Log appends records to a directory. There may be one Log for a directory at a
// time, see package dirlock. All methods are safe for concurrent use.
type Log struct {
	set Settings

	// write and fsync are methods of os.File; tests replace them.
	write func(*os.File, []byte) (int, error)
	fsync func(*os.File) error
	// syncing is held during a Sync, which must not hold mu while the disk works.
	syncing sync.Mutex

	mu       sync.Mutex
	segments []Segment // ascending; the last is the one written to, if file is not nil
	next     uint64    // number of the next segment
	file     *os.File  // nil until the first Append, and after an error that closed it
	offset   int64
	dirty    bool       // written since the last sync
	ended    []*os.File // segments that are complete but neither synced nor closed
	frame    []byte
	closed   bool
}

// maxEnded bounds the segments that wait for Sync. If there are more, beginning
// another one waits for the disk.
const maxEnded = 4

// Open lists the segments in the directory, which it creates if need be. It writes
// nothing else: the first Append begins a segment.
func Open(set Settings) (*Log, error) {
	if set.Now == nil {
		set.Now = time.Now
	}
	if err := os.MkdirAll(set.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the log's directory: %w", err)
	}
	segments, err := List(set.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{set: set, write: (*os.File).Write, fsync: (*os.File).Sync, segments: segments, next: 1}
	if n := len(segments); n > 0 {
		l.next = segments[n-1].Number + 1
	}
	return l, nil
}

// SkipTo appends the next record after p. A caller that remembers a position of
// the directory calls it before the first Append; otherwise the numbers of deleted
// segments could be used again.
func (l *Log) SkipTo(p Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Offset > 0 {
		p.Segment++
	}
	l.next = max(l.next, p.Segment)
}

// List returns the segments in a directory, ascending. It may be called while
// a Log is open there.
func List(dir string) ([]Segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var segments []Segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), extension)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(name, 10, 64)
		if err != nil || n == 0 {
			continue // not a segment
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // just trimmed
		}
		if err != nil {
			return nil, fmt.Errorf("list segments: %w", err)
		}
		segments = append(segments, Segment{Number: n, Bytes: info.Size(), Written: info.ModTime()})
	}
	slices.SortFunc(segments, func(a, b Segment) int {
		if a.Number < b.Number {
			return -1
		}
		return 1
	})
	return segments, nil
}

func segmentPath(dir string, n uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%08d%s", n, extension))
}

// Prepare returns the number of the segment that the next Append writes to, and
// begins a new one if the current one is full. A caller whose records depend on
// earlier records of the same segment encodes them after Prepare, and allows no
// other Append in between.
func (l *Log) Prepare() (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.prepare()
}

func (l *Log) prepare() (uint64, error) {
	if l.closed {
		return 0, os.ErrClosed
	}
	if l.file != nil && l.offset < l.set.SegmentSize {
		return l.next - 1, nil
	}
	if err := l.endSegment(); err != nil {
		return 0, err
	}
	f, err := l.create(l.next)
	if errors.Is(err, os.ErrExist) {
		l.next++ // left over from a start that failed; the number is not reused
		return 0, fmt.Errorf("begin segment: %w", err)
	}
	if err != nil {
		return 0, fmt.Errorf("begin segment: %w", err)
	}
	if _, err := l.write(f, appendHeader(nil, l.next)); err != nil {
		err = errors.Join(fmt.Errorf("begin segment %d: %w", l.next, err), f.Close(), os.Remove(f.Name()))
		return 0, err
	}
	l.file, l.offset, l.dirty = f, headerSize, true
	l.segments = append(l.segments, Segment{Number: l.next, Bytes: headerSize, Written: l.set.Now()})
	l.next++
	return l.next - 1, nil
}

// create creates the file of a segment, and the directory if somebody deleted it.
func (l *Log) create(n uint64) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(segmentPath(l.set.Dir, n), flags, 0o600)
	if errors.Is(err, os.ErrNotExist) && os.MkdirAll(l.set.Dir, 0o700) == nil {
		f, err = os.OpenFile(segmentPath(l.set.Dir, n), flags, 0o600)
	}
	return f, err
}

// endSegment ends the current segment, if there is one. The next Sync syncs and
// closes it, so Append does not wait for the disk.
func (l *Log) endSegment() error {
	if l.file == nil {
		return nil
	}
	return l.leave()
}

// leave ends the current segment, which is open.
func (l *Log) leave() error {
	l.ended = append(l.ended, l.file)
	l.file, l.dirty = nil, false
	if l.set.FsyncInterval > 0 && len(l.ended) <= maxEnded {
		return nil
	}
	return l.closeEnded(l.takeEnded())
}

func (l *Log) takeEnded() []*os.File {
	ended := l.ended
	l.ended = nil
	return ended
}

// closeEnded syncs and closes complete segments.
func (l *Log) closeEnded(ended []*os.File) error {
	var errs []error
	for _, f := range ended {
		if err := errors.Join(l.fsync(f), f.Close()); err != nil {
			errs = append(errs, fmt.Errorf("end segment %s: %w", filepath.Base(f.Name()), err))
		}
	}
	return errors.Join(errs...)
}

// Append writes one record and returns the position after it. If it returns an
// error, nothing was appended, and the segment may have ended: the next Prepare
// may return another number.
func (l *Log) Append(payload []byte) (Position, error) {
	if len(payload) > MaxRecord {
		return Position{}, ErrRecordTooLarge
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	segment, err := l.prepare()
	if err != nil {
		return Position{}, err
	}
	// One write per record: header and payload in one buffer.
	l.frame = slices.Grow(l.frame[:0], frameSize+len(payload))[:frameSize]
	l.frame = append(l.frame, payload...)
	putFrame(l.frame, payload)
	if _, err := l.write(l.file, l.frame); err != nil {
		return Position{}, l.undo(fmt.Errorf("append to segment %d: %w", segment, err))
	}
	l.offset += int64(len(l.frame))
	if cap(l.frame) > 4<<20 {
		l.frame = nil // do not keep the buffer of a huge record
	}
	last := &l.segments[len(l.segments)-1]
	last.Bytes, last.Written = l.offset, l.set.Now()
	l.dirty = true
	if l.set.FsyncInterval == 0 {
		if err := l.sync(); err != nil {
			return Position{}, l.undo(err)
		}
	}
	return Position{Segment: segment, Offset: l.offset}, nil
}

// undo removes what a failed Append left behind, which a reader would take for a
// torn tail, and ends the segment, which Trim can then delete once it is not
// needed. A segment without records is kept in use: beginning a new one after each
// failure would fill the rest of a full disk.
func (l *Log) undo(cause error) error {
	last := &l.segments[len(l.segments)-1]
	last.Bytes = l.offset
	errs := []error{cause}
	err := l.file.Truncate(l.offset)
	if err == nil && l.offset == headerSize {
		if _, err = l.file.Seek(l.offset, io.SeekStart); err == nil {
			return cause
		}
	}
	return errors.Join(append(errs, err, l.leave())...)
}

// Sync makes the records appended before it survive a power cut. Append does not
// wait for it.
func (l *Log) Sync() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	ended, file, segment := l.takeEnded(), l.file, l.next-1
	if !l.dirty {
		file = nil
	}
	l.dirty = false
	l.mu.Unlock()

	err := l.closeEnded(ended)
	if file == nil {
		return err
	}
	// A segment that has just been closed was synced before.
	if serr := l.fsync(file); serr != nil && !errors.Is(serr, os.ErrClosed) {
		l.mu.Lock()
		l.dirty = l.dirty || l.file == file
		l.mu.Unlock()
		err = errors.Join(err, fmt.Errorf("sync segment %d: %w", segment, serr))
	}
	return err
}

// sync syncs the current segment, for an Append that has to survive a power cut.
func (l *Log) sync() error {
	if err := l.fsync(l.file); err != nil {
		return fmt.Errorf("sync segment %d: %w", l.next-1, err)
	}
	l.dirty = false
	return nil
}

// Close syncs and closes the log.
func (l *Log) Close() error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return errors.Join(l.endSegment(), l.closeEnded(l.takeEnded()))
}

// End returns the position after the last record.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 {
		return Position{Segment: l.segments[n-1].Number, Offset: l.segments[n-1].Bytes}
	}
	return Position{}
}

// Stats describe the segments on disk.
type Stats struct {
	Segments int
	Bytes    int64
	First    uint64    // number of the oldest segment, 0 if there is none
	Oldest   time.Time // last write to the oldest segment
}

// Stats returns the size of the log.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Stats{Segments: len(l.segments)}
	for _, seg := range l.segments {
		s.Bytes += seg.Bytes
	}
	if len(l.segments) > 0 {
		s.First, s.Oldest = l.segments[0].Number, l.segments[0].Written
	}
	return s
}

// Trim deletes segments, oldest first, until drop returns false for the oldest one.
// It never deletes the segment being written. drop is called without a lock.
func (l *Log) Trim(drop func(oldest Segment, s Stats) bool) error {
	for {
		s := l.Stats()
		l.mu.Lock()
		if len(l.segments) == 0 || len(l.segments) == 1 && l.file != nil {
			l.mu.Unlock()
			return nil
		}
		oldest := l.segments[0]
		l.mu.Unlock()
		if !drop(oldest, s) {
			return nil
		}
		if err := remove(segmentPath(l.set.Dir, oldest.Number)); err != nil {
			return fmt.Errorf("delete segment %d: %w", oldest.Number, err)
		}
		l.mu.Lock()
		if len(l.segments) > 0 && l.segments[0].Number == oldest.Number {
			l.segments = l.segments[1:]
		}
		err := l.closeDeleted(oldest.Number)
		l.mu.Unlock()
		if err != nil {
			return fmt.Errorf("close deleted segment %d: %w", oldest.Number, err)
		}
	}
}

// closeDeleted closes a deleted segment that has not been synced yet: the disk gets
// no room back while the file is open.
func (l *Log) closeDeleted(number uint64) error {
	path := segmentPath(l.set.Dir, number)
	i := slices.IndexFunc(l.ended, func(f *os.File) bool { return f.Name() == path })
	if i < 0 {
		return nil
	}
	f := l.ended[i]
	l.ended = slices.Delete(l.ended, i, i+1)
	return f.Close()
}

// remove deletes a file. On a full disk, some file systems have no room to delete
// a file, but can truncate it first.
func remove(path string) error {
	err := os.Remove(path)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		if err = os.Truncate(path, 0); err == nil {
			err = os.Remove(path)
		}
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
