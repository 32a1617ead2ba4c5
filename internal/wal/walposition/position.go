package walposition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
	"github.com/invar-otel/invar/internal/wal/seglog"
)

const (
	fileName   = "position"
	version    = 1
	slotSize   = 4 + 4 + 8 + 8 + 8 + 4
	slotStride = 512 // a disk sector: a torn write hits one slot
	fileSize   = slotStride + slotSize
)

var (
	magic      = [4]byte{'I', 'P', 'O', 'S'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// File is an open position file. It is for one goroutine at a time.
type File struct {
	f       *os.File
	counter uint64 // of the newest valid slot
	// Damaged is set if the file holds data, but no valid position.
	Damaged bool
}

// Open opens or creates the file in dir and returns the newest position in it. The
// position is zero, the start of the log, if there is no valid one.
//
// Open gives the file its full size if the disk has room: the log may fill the disk
// later, and Save then has to work without more room.
func Open(dir string) (*File, seglog.Position, error) {
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, seglog.Position{}, fmt.Errorf("open the position: %w", err)
	}
	b, err := read(f)
	if err != nil {
		return nil, seglog.Position{}, errors.Join(err, f.Close())
	}
	pos, counter := decode(b)
	if size := int64(len(b)); size < fileSize {
		_, _ = f.WriteAt(make([]byte, fileSize-size), size) // if there is no room, Save tries again
	}
	blank := len(bytes.Trim(b, "\x00")) == 0
	return &File{f: f, counter: counter, Damaged: counter == 0 && !blank}, pos, nil
}

// Read returns the newest position in the file in dir, and changes nothing. It
// returns false if there is no file, or no valid position in it.
func Read(dir string) (seglog.Position, bool, error) {
	f, err := regularfile.Open(filepath.Join(dir, fileName))
	if errors.Is(err, os.ErrNotExist) {
		return seglog.Position{}, false, nil
	}
	if err != nil {
		return seglog.Position{}, false, fmt.Errorf("open the position: %w", err)
	}
	defer f.Close()
	b, err := read(f)
	pos, counter := decode(b)
	return pos, counter > 0, err
}

// read returns the slots, or the part of them that the file has.
func read(f *os.File) ([]byte, error) {
	b := make([]byte, fileSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the position: %w", err)
	}
	return b[:n], nil
}

// decode returns the valid slot with the highest counter. The counter is 0 if there
// is none.
func decode(b []byte) (pos seglog.Position, counter uint64) {
	for at := 0; at+slotSize <= len(b); at += slotStride {
		s := b[at : at+slotSize]
		if [4]byte(s[:4]) != magic ||
			binary.LittleEndian.Uint32(s[4:]) != version ||
			binary.LittleEndian.Uint32(s[slotSize-4:]) != crc32.Checksum(s[:slotSize-4], castagnoli) {
			continue
		}
		offset := binary.LittleEndian.Uint64(s[24:])
		if c := binary.LittleEndian.Uint64(s[8:]); c > counter && offset < 1<<63 {
			counter = c
			pos = seglog.Position{Segment: binary.LittleEndian.Uint64(s[16:]), Offset: int64(offset)}
		}
	}
	return pos, counter
}

func encode(pos seglog.Position, counter uint64) []byte {
	b := append(make([]byte, 0, slotSize), magic[:]...)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = binary.LittleEndian.AppendUint64(b, counter)
	b = binary.LittleEndian.AppendUint64(b, pos.Segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(pos.Offset))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Save writes the position, which survives the death of the process. After a power
// cut an older one may be read, and some samples are sent again.
//
// A Save that fails may damage the older of the two slots. The next Save writes to
// the same slot, so one slot is always valid.
func (p *File) Save(pos seglog.Position) error {
	next := p.counter + 1
	if _, err := p.f.WriteAt(encode(pos, next), int64(next%2)*slotStride); err != nil {
		return fmt.Errorf("save the position: %w", err)
	}
	p.counter = next
	return nil
}

// Close closes the file.
func (p *File) Close() error { return p.f.Close() }
