package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

const readChunk = 256 << 10

// Damage describes bytes that a reader skipped.
type Damage struct {
	At     Position
	Bytes  int64  // number of bytes skipped
	Reason string // what is wrong with the first of them
	// Torn says that a segment ends in the middle of a record. Its writer was
	// killed before Append returned, so no committed data is lost.
	Torn bool
}

// Reasons of Damage that is Torn.
const (
	tornHeader = "torn frame header"
	tornRecord = "torn record"
)

// Reader reads the records of a log in order, even while records are appended. It
// is for one goroutine.
//
// The limit that Next is given is the end of the log. Bytes beyond it are not
// read, because they may be in the middle of being written.
type Reader struct {
	dir string

	// OnDamage, if set, is called for each run of bytes that was skipped.
	OnDamage func(Damage)
	// OnMissing, if set, is called if segments are missing: those from from up
	// to, but not including, to.
	OnMissing func(from, to uint64)

	file *os.File
	size int64    // of file, -1 while it may still grow
	pos  Position // of the start of buf
	buf  []byte   // read ahead
	free []byte   // memory of buf
}

// NewReader returns a Reader that begins at the start of a segment. If the segment
// does not exist, it begins with the next one that does.
func NewReader(dir string, segment uint64) *Reader {
	return &Reader{dir: dir, pos: Position{Segment: segment}}
}

// Close frees the open file.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// Position returns where the next record begins.
func (r *Reader) Position() Position { return r.pos }

// Next returns the payload of the next record and the position after it. The
// payload is valid until the next call. At limit Next returns io.EOF, and may be
// called again when the log has grown. limit is a position that Log.End returned,
// or Everything if nothing writes to the log.
func (r *Reader) Next(limit Position) ([]byte, Position, error) {
	for {
		if !r.pos.Less(limit) {
			return nil, r.pos, io.EOF
		}
		if r.file == nil {
			ok, err := r.open(limit)
			if err != nil {
				return nil, r.pos, err
			}
			if !ok {
				return nil, r.pos, io.EOF
			}
			continue
		}
		payload, size, err := r.frame(limit)
		switch {
		case err == nil:
			r.advance(size)
			return payload, r.pos, nil
		case !errors.Is(err, io.EOF):
			return nil, r.pos, err
		case r.pos.Segment < limit.Segment:
			// This segment is over.
			if err := r.Close(); err != nil {
				return nil, r.pos, err
			}
			r.pos, r.buf = Position{Segment: r.pos.Segment + 1}, nil
		default:
			return nil, r.pos, io.EOF
		}
	}
}

// Everything is the limit for a log that has no writer.
var Everything = Position{Segment: 1<<64 - 1}

// open opens the segment at pos, or the first one after it that exists. It returns
// false if there is none up to limit.
func (r *Reader) open(limit Position) (bool, error) {
	f, err := regularfile.Open(segmentPath(r.dir, r.pos.Segment))
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, regularfile.ErrNotRegular) {
		next, err := r.following()
		if err != nil || next == 0 || next > limit.Segment {
			return false, err
		}
		if r.OnMissing != nil && r.pos.Segment > 0 {
			r.OnMissing(r.pos.Segment, next)
		}
		r.pos = Position{Segment: next}
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("open segment: %w", err)
	}
	r.file, r.size, r.buf, r.pos.Offset = f, -1, nil, 0
	head, err := r.peek(headerSize, limit)
	if err != nil {
		return false, err
	}
	// Even if the header is damaged, the frames may be valid: frame looks for the
	// first one.
	if checkHeader(head, r.pos.Segment) == nil {
		r.advance(headerSize)
	}
	return true, nil
}

// following returns the lowest segment number above pos, 0 if there is none.
func (r *Reader) following() (uint64, error) {
	segments, err := List(r.dir)
	if err != nil {
		return 0, err
	}
	for _, s := range segments {
		if s.Number > r.pos.Segment {
			return s.Number, nil
		}
	}
	return 0, nil
}

// frame skips damage and returns the payload and the whole size of the next frame,
// or io.EOF at the end of the segment or at the limit.
func (r *Reader) frame(limit Position) ([]byte, int, error) {
	var skipped int64
	var start Position
	var reason string
	for {
		head, err := r.peek(frameSize, limit)
		if err != nil {
			return nil, 0, err
		}
		payload, size, why, err := r.verify(head, limit)
		if err != nil {
			return nil, 0, err
		}
		if why == "" {
			if skipped > 0 {
				r.report(Damage{At: start, Bytes: skipped, Reason: reason})
			}
			return payload, size, nil
		}
		if skipped == 0 {
			start, reason = r.pos, why
		}
		n, found, err := r.seekMarker(limit)
		if err != nil {
			return nil, 0, err
		}
		skipped += n
		if !found {
			if skipped > 0 {
				r.report(Damage{At: start, Bytes: skipped, Reason: reason, Torn: reason == tornHeader || reason == tornRecord})
			}
			return nil, 0, io.EOF
		}
	}
}

// verify checks the frame that begins with head. why is empty if it is valid.
func (r *Reader) verify(head []byte, limit Position) (payload []byte, size int, why string, err error) {
	if len(head) == 0 {
		return nil, 0, "", io.EOF
	}
	if len(head) < frameSize {
		return nil, 0, tornHeader, nil
	}
	if binary.LittleEndian.Uint32(head) != frameMarker {
		return nil, 0, "no frame marker", nil
	}
	length := int(binary.LittleEndian.Uint32(head[4:]))
	if length > MaxRecord {
		return nil, 0, fmt.Sprintf("length of %d bytes is above the limit", length), nil
	}
	sum := binary.LittleEndian.Uint32(head[8:])
	all, err := r.peek(frameSize+length, limit)
	if err != nil {
		return nil, 0, "", err
	}
	if len(all) < frameSize+length {
		return nil, 0, tornRecord, nil
	}
	if frameSum(all[4:8], all[frameSize:]) != sum {
		return nil, 0, "wrong checksum", nil
	}
	return all[frameSize:], len(all), "", nil
}

// seekMarker moves to the next frame marker, by at least one byte. It returns the
// number of bytes, and whether there is a marker before the limit.
func (r *Reader) seekMarker(limit Position) (int64, bool, error) {
	var marker [4]byte
	binary.LittleEndian.PutUint32(marker[:], frameMarker)
	var moved int64
	for step := 1; ; {
		r.advance(min(step, len(r.buf)))
		moved += int64(step)
		b, err := r.peek(readChunk, limit)
		if err != nil {
			return moved, false, err
		}
		if i := bytes.Index(b, marker[:]); i >= 0 {
			r.advance(i)
			return moved + int64(i), true, nil
		}
		if len(b) < readChunk {
			r.advance(len(b))
			return moved + int64(len(b)), false, nil
		}
		step = len(b) - len(marker) + 1
	}
}

// peek returns up to n bytes at pos, fewer only at the end of the segment or
// the limit.
func (r *Reader) peek(n int, limit Position) ([]byte, error) {
	rest, err := r.rest(limit)
	if err != nil {
		return nil, err
	}
	n = int(min(int64(n), max(0, rest)))
	if len(r.buf) >= n {
		return r.buf[:n], nil
	}
	want := int(min(int64(max(n, readChunk)), rest))
	dst := r.free
	if cap(dst) < want || cap(dst) > 8*readChunk && want <= readChunk {
		dst = make([]byte, want)
	}
	dst = dst[:want]
	have := copy(dst, r.buf)
	m, err := r.file.ReadAt(dst[have:], r.pos.Offset+int64(have))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read segment %d at %d: %w", r.pos.Segment, r.pos.Offset+int64(have), err)
	}
	r.free, r.buf = dst, dst[:have+m]
	return r.buf[:min(n, len(r.buf))], nil
}

// rest returns the number of bytes of the segment that may be read from pos on.
func (r *Reader) rest(limit Position) (int64, error) {
	if r.pos.Segment == limit.Segment {
		return limit.Offset - r.pos.Offset, nil
	}
	if r.size < 0 { // complete: the writer has begun another
		info, err := r.file.Stat()
		if err != nil {
			return 0, fmt.Errorf("read segment %d: %w", r.pos.Segment, err)
		}
		r.size = info.Size()
	}
	return r.size - r.pos.Offset, nil
}

func (r *Reader) advance(n int) {
	r.buf = r.buf[n:]
	r.pos.Offset += int64(n)
}

func (r *Reader) report(d Damage) {
	if r.OnDamage != nil {
		r.OnDamage(d)
	}
}
