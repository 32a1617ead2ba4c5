package prometheuswalexporter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"github.com/invar-otel/invar/internal/seglog"
)

// positionFile remembers from where on the log is still needed. It has two
// slots that are written in turn, each with a checksum and a counter: a write
// that is cut short leaves the other one.
//
//	slot  "IPOS" | version u32 | counter u64 | segment u64 | offset u64 | crc32c u32
type positionFile struct {
	f       *os.File
	counter uint64
}

const (
	positionName    = "position"
	positionVersion = 1
	slotSize        = 4 + 4 + 8 + 8 + 8 + 4
	slotStride      = 512 // a disk sector, so that one torn write hits one slot
)

var (
	positionMagic = [4]byte{'I', 'P', 'O', 'S'}
	castagnoli    = crc32.MakeTable(crc32.Castagnoli)
)

// openPosition opens or makes the file in dir and returns the newest position
// in it. Without a valid one the position is zero: the start of the log.
func openPosition(dir string) (*positionFile, seglog.Position, error) {
	f, err := os.OpenFile(filepath.Join(dir, positionName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, seglog.Position{}, fmt.Errorf("open the position: %w", err)
	}
	b := make([]byte, slotStride+slotSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, seglog.Position{}, errors.Join(fmt.Errorf("read the position: %w", err), f.Close())
	}
	pos, counter := decodePosition(b[:n])
	return &positionFile{f: f, counter: counter}, pos, nil
}

// decodePosition returns the valid slot with the highest counter.
func decodePosition(b []byte) (pos seglog.Position, counter uint64) {
	for at := 0; at+slotSize <= len(b); at += slotStride {
		s := b[at : at+slotSize]
		if [4]byte(s[:4]) != positionMagic ||
			binary.LittleEndian.Uint32(s[4:]) != positionVersion ||
			binary.LittleEndian.Uint32(s[slotSize-4:]) != crc32.Checksum(s[:slotSize-4], castagnoli) {
			continue
		}
		if c := binary.LittleEndian.Uint64(s[8:]); c >= counter {
			counter = c
			pos = seglog.Position{
				Segment: binary.LittleEndian.Uint64(s[16:]),
				Offset:  int64(binary.LittleEndian.Uint64(s[24:]) &^ (1 << 63)),
			}
		}
	}
	return pos, counter
}

func appendPosition(b []byte, pos seglog.Position, counter uint64) []byte {
	start := len(b)
	b = append(b, positionMagic[:]...)
	b = binary.LittleEndian.AppendUint32(b, positionVersion)
	b = binary.LittleEndian.AppendUint64(b, counter)
	b = binary.LittleEndian.AppendUint64(b, pos.Segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(pos.Offset))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// save writes the position; it survives the death of the process. That of the
// machine may bring back an older one, which costs sending a tail again.
func (p *positionFile) save(pos seglog.Position) error {
	p.counter++
	at := int64(p.counter%2) * slotStride
	if _, err := p.f.WriteAt(appendPosition(nil, pos, p.counter), at); err != nil {
		return fmt.Errorf("save the position: %w", err)
	}
	return nil
}

func (p *positionFile) close() error { return p.f.Close() }
