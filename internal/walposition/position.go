package walposition

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/invar-otel/invar/internal/regularfile"
	"github.com/invar-otel/invar/internal/seglog"
)

const (
	fileName   = "position"
	version    = 1
	slotSize   = 4 + 4 + 8 + 8 + 8 + 4
	slotStride = 512 // a disk sector, so that one torn write hits one slot
)

var (
	magic      = [4]byte{'I', 'P', 'O', 'S'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// File is the position's file, open for writing. It is for one goroutine.
type File struct {
	f       *os.File
	counter uint64
}

// Open opens or makes the file in dir and returns the newest position in it.
// Without a valid one the position is zero: the start of the log.
func Open(dir string) (*File, seglog.Position, error) {
	f, err := os.OpenFile(filepath.Join(dir, fileName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, seglog.Position{}, fmt.Errorf("open the position: %w", err)
	}
	pos, counter, err := read(f)
	if err != nil {
		return nil, seglog.Position{}, errors.Join(err, f.Close())
	}
	return &File{f: f, counter: counter}, pos, nil
}

// Read returns the newest position in dir's file and changes nothing. It
// reports false if there is no file or no valid position in it.
func Read(dir string) (seglog.Position, bool, error) {
	f, err := regularfile.Open(filepath.Join(dir, fileName))
	if errors.Is(err, os.ErrNotExist) {
		return seglog.Position{}, false, nil
	}
	if err != nil {
		return seglog.Position{}, false, fmt.Errorf("open the position: %w", err)
	}
	defer f.Close()
	pos, counter, err := read(f)
	return pos, counter > 0, err
}

func read(f *os.File) (seglog.Position, uint64, error) {
	b := make([]byte, slotStride+slotSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return seglog.Position{}, 0, fmt.Errorf("read the position: %w", err)
	}
	pos, counter := decode(b[:n])
	return pos, counter, nil
}

// decode returns the valid slot with the highest counter; counters begin at 1.
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

// Save writes the position; it survives the death of the process. That of the
// machine may bring back an older one, which costs sending a tail again.
func (p *File) Save(pos seglog.Position) error {
	p.counter++
	if _, err := p.f.WriteAt(encode(pos, p.counter), int64(p.counter%2)*slotStride); err != nil {
		return fmt.Errorf("save the position: %w", err)
	}
	return nil
}

// Close closes the file.
func (p *File) Close() error { return p.f.Close() }
