// Package seglog is an append-only log of opaque records in a directory of
// segment files. It can be read after a crash, and loses only the records that
// are damaged.
//
//	one writer                    any number of readers
//	Log.Append ──▶ 00000007.seg   Reader: 5 → 6 → 7, follows the writer
//	                   ▲
//	      Log.Trim deletes from the oldest segment on, never the one written to
//
// A segment is a header and frames:
//
//	header  "INVARSEG" | version u32 | segment u64 | crc32c u32 of what precedes
//	frame   marker u32 | length u32 | crc32c u32 of length and payload | payload
//
// All integers are little-endian. After a damaged frame the reader looks for the
// next marker whose frame verifies, so only the damaged records are lost. A frame
// that ends beyond the end of a segment is a torn tail: the writer was killed, or
// the disk was full and the write could not be undone. A segment is never reopened
// for writing; each Open starts a new one.
//
// Append returns when the operating system has the data, so the data survives the
// death of the process. It survives a power cut once it is synced, at most
// Settings.FsyncInterval later if the caller calls Sync that often. Append does
// not wait for a running Sync, nor for the sync of a segment that ended.
package seglog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

const (
	headerSize  = 8 + 4 + 8 + 4
	frameSize   = 4 + 4 + 4
	version     = 1
	frameMarker = 0x9E1CA5F3

	// MaxRecord is the largest payload in bytes. A reader takes larger lengths for
	// damage.
	MaxRecord = 64 << 20
)

var (
	magic  = [8]byte{'I', 'N', 'V', 'A', 'R', 'S', 'E', 'G'}
	crcTab = crc32.MakeTable(crc32.Castagnoli)

	// ErrRecordTooLarge is returned by Append for a payload above MaxRecord.
	ErrRecordTooLarge = errors.New("record is larger than a segment log can hold")
)

// Position is a place in the log: the end of a record, or the start of the next.
// Positions of one log are ordered. The zero Position is before all others.
type Position struct {
	Segment uint64
	Offset  int64 // bytes from the start of the segment's file
}

// Less reports whether p is before q.
func (p Position) Less(q Position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}

func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Segment, p.Offset) }

func appendHeader(b []byte, segment uint64) []byte {
	start := len(b)
	b = append(b, magic[:]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, segment)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], crcTab))
}

func checkHeader(b []byte, segment uint64) error {
	switch {
	case len(b) < headerSize:
		return fmt.Errorf("header has %d bytes, not %d", len(b), headerSize)
	case [8]byte(b[:8]) != magic:
		return fmt.Errorf("header begins with %q, not %q", b[:8], magic[:])
	case crc32.Checksum(b[:headerSize-4], crcTab) != binary.LittleEndian.Uint32(b[headerSize-4:]):
		return errors.New("header has a wrong checksum")
	case binary.LittleEndian.Uint32(b[8:]) != version:
		return fmt.Errorf("format version is %d, not %d", binary.LittleEndian.Uint32(b[8:]), version)
	case binary.LittleEndian.Uint64(b[12:]) != segment:
		return fmt.Errorf("header is of segment %d", binary.LittleEndian.Uint64(b[12:]))
	}
	return nil
}

// putFrame fills the frame header in front of a payload.
func putFrame(dst []byte, payload []byte) {
	binary.LittleEndian.PutUint32(dst, frameMarker)
	binary.LittleEndian.PutUint32(dst[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[8:], frameSum(dst[4:8], payload))
}

func frameSum(length, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, crcTab), crcTab, payload)
}
