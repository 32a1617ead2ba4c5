package seglog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const extension = ".seg"

// Settings say where a log is and how large it may become.
type Settings struct {
	Dir           string
	SegmentSize   int64         // bytes after which a new segment begins
	FsyncInterval time.Duration // 0 syncs on every Append
	Now           func() time.Time
}

// Segment describes a segment's file.
type Segment struct {
	Number  uint64
	Bytes   int64
	Written time.Time // the last write
}

// Log appends records to a directory. One process has one Log per directory,
// see Lock. All methods are safe for concurrent use; Append is serialised.
type Log struct {
	set Settings

	mu       sync.Mutex
	segments []Segment // ascending; the last is the one written to, if file is not nil
	next     uint64    // number of the next segment
	file     *os.File  // nil until the first Append, and after an error that closed it
	offset   int64
	dirty    bool // written since the last sync
	frame    []byte
	closed   bool
}

// Open lists the segments in the directory, which it makes if need be. It
// writes nothing else: the first Append begins a segment.
func Open(set Settings) (*Log, error) {
	if set.Now == nil {
		set.Now = time.Now
	}
	if err := os.MkdirAll(set.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's directory: %w", err)
	}
	segments, err := List(set.Dir)
	if err != nil {
		return nil, err
	}
	l := &Log{set: set, segments: segments, next: 1}
	if n := len(segments); n > 0 {
		l.next = segments[n-1].Number + 1
	}
	return l, nil
}

// SkipTo makes the next segment's number at least n. A caller that remembers
// a position of this directory calls it before the first Append, so that
// numbers of deleted segments are not used again.
func (l *Log) SkipTo(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = max(l.next, n)
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
			continue // not ours
		}
		info, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue // trimmed meanwhile
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

// Prepare returns the number of the segment that the next Append writes to,
// beginning a new one if the current is full. A caller whose records depend on
// earlier records of the same segment encodes after Prepare and lets no other
// Append come between.
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
	f, err := os.OpenFile(segmentPath(l.set.Dir, l.next), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		l.next++ // a leftover of a start that failed; its number is not reused
		return 0, fmt.Errorf("begin segment: %w", err)
	}
	if err != nil {
		return 0, fmt.Errorf("begin segment: %w", err)
	}
	if _, err := f.Write(appendHeader(nil, l.next)); err != nil {
		err = errors.Join(fmt.Errorf("begin segment %d: %w", l.next, err), f.Close(), os.Remove(f.Name()))
		return 0, err
	}
	l.file, l.offset, l.dirty = f, headerSize, true
	l.segments = append(l.segments, Segment{Number: l.next, Bytes: headerSize, Written: l.set.Now()})
	l.next++
	return l.next - 1, nil
}

// endSegment syncs and closes the current segment.
func (l *Log) endSegment() error {
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file, l.dirty = nil, false
	if err != nil {
		return fmt.Errorf("end segment %d: %w", l.next-1, err)
	}
	return nil
}

// Append writes one record and returns the position after it. When it returns
// an error nothing was appended; the segment may have ended, so that the next
// Prepare gives another number.
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
	if _, err := l.file.Write(l.frame); err != nil {
		return Position{}, l.undo(fmt.Errorf("append to segment %d: %w", segment, err))
	}
	l.offset += int64(len(l.frame))
	if cap(l.frame) > 4<<20 {
		l.frame = nil // one huge record is no reason to keep its buffer
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

// undo removes what a failed Append left behind and ends the segment: a reader
// would take the rest for a torn tail, and the caller, who cannot know what
// reached the disk, begins anew.
func (l *Log) undo(cause error) error {
	last := &l.segments[len(l.segments)-1]
	errs := []error{cause}
	if err := l.file.Truncate(l.offset); err != nil {
		errs = append(errs, err)
	}
	last.Bytes = l.offset
	if err := l.file.Close(); err != nil {
		errs = append(errs, err)
	}
	l.file, l.dirty = nil, false
	return errors.Join(errs...)
}

// Sync makes what was appended survive the death of the machine.
func (l *Log) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sync()
}

func (l *Log) sync() error {
	if l.file == nil || !l.dirty {
		return nil
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync segment %d: %w", l.next-1, err)
	}
	l.dirty = false
	return nil
}

// Close syncs and ends the log.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return l.endSegment()
}

// End is the position after the last record.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 {
		return Position{Segment: l.segments[n-1].Number, Offset: l.segments[n-1].Bytes}
	}
	return Position{}
}

// Stats describe what is on disk.
type Stats struct {
	Segments int
	Bytes    int64
	First    uint64    // number of the oldest segment, 0 if there is none
	Oldest   time.Time // last write to the oldest segment
}

// Stats returns the log's size.
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

// Trim deletes segments, oldest first, as long as drop says so for the oldest.
// It never deletes the segment being written.
func (l *Log) Trim(drop func(segment uint64, s Stats) bool) error {
	for {
		s := l.Stats()
		l.mu.Lock()
		if len(l.segments) == 0 || len(l.segments) == 1 && l.file != nil {
			l.mu.Unlock()
			return nil
		}
		oldest := l.segments[0].Number
		l.mu.Unlock()
		if !drop(oldest, s) {
			return nil
		}
		if err := os.Remove(segmentPath(l.set.Dir, oldest)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("delete segment: %w", err)
		}
		l.mu.Lock()
		if len(l.segments) > 0 && l.segments[0].Number == oldest {
			l.segments = l.segments[1:]
		}
		l.mu.Unlock()
	}
}
