package elfsymbols

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// maxDebugData is how large .gnu_debugdata may be, in bytes, before and after it
// is unpacked. It is some 10 MiB for the largest programs.
const maxDebugData = 32 << 20

const (
	xzMagic      = "\xfd7zXZ\x00"
	xzHeaderSize = 12
	xzLZMA2      = 0x21
)

// unxz unpacks an xz file of up to limit bytes. Source:
// https://tukaani.org/xz/xz-file-format.txt, version 1.2.0.
//
// It reads the container by itself, as the xz package allocates the dictionary
// that a block asks for, up to 4 GiB, before it has unpacked a byte. Here it is
// as large as the result may be at most. What is behind the blocks of the first
// stream is not looked at: it has nothing that was not checked by then.
func unxz(packed []byte, limit int) ([]byte, error) {
	if len(packed) < xzHeaderSize || string(packed[:6]) != xzMagic || packed[6] != 0 || packed[7] > 15 {
		return nil, fmt.Errorf("%w: no xz stream", ErrFormat)
	}
	check := packed[7]
	plain := &limited{left: limit}
	for in := packed[xzHeaderSize:]; ; {
		if len(in) == 0 {
			return nil, fmt.Errorf("%w: xz: no index", ErrFormat)
		}
		if in[0] == 0 { // the index
			return plain.buf.Bytes(), nil
		}
		n, err := unxzBlock(in, plain, check)
		if err != nil {
			return nil, fmt.Errorf("%w: xz: %w", ErrFormat, err)
		}
		in = in[n:]
	}
}

// unxzBlock unpacks the block that in begins with, and returns its size.
func unxzBlock(in []byte, plain *limited, check byte) (int, error) {
	headerSize := (int(in[0]) + 1) * 4
	if headerSize > len(in) {
		return 0, io.ErrUnexpectedEOF
	}
	header := in[:headerSize-4]
	if crc32.ChecksumIEEE(header) != binary.LittleEndian.Uint32(in[headerSize-4:]) {
		return 0, errors.New("block header: wrong checksum")
	}
	dict, err := xzDictionary(header)
	if err != nil {
		return 0, fmt.Errorf("block header: %w", err)
	}
	data := bytes.NewReader(in[headerSize:])
	r, err := lzma.Reader2Config{
		DictCap: int(max(lzma.MinDictCap, min(dict, int64(plain.left)))),
	}.NewReader2(data)
	if err != nil {
		return 0, err
	}
	start := plain.buf.Len()
	if _, err := io.Copy(plain, r); err != nil {
		return 0, err
	}
	block := plain.buf.Bytes()[start:]

	n := len(in) - data.Len()
	n = (n + 3) / 4 * 4 // both headers and blocks are multiples of 4
	size := xzCheckSize(check)
	if n+size > len(in) {
		return 0, io.ErrUnexpectedEOF
	}
	if sum := xzCheck(check); sum != nil {
		sum.Write(block)
		got := sum.Sum(nil) // big endian, but for the file
		for i := range got {
			if got[len(got)-1-i] != in[n+i] {
				return 0, errors.New("block: wrong checksum")
			}
		}
	}
	return n + size, nil
}

// xzDictionary reads the size of the dictionary from a block header without its
// checksum. The only filter must be LZMA2.
func xzDictionary(header []byte) (int64, error) {
	flags, fields := header[1], header[2:]
	if flags&0x3f != 0 {
		return 0, fmt.Errorf("flags %#x; only one filter is supported", flags)
	}
	for _, present := range []byte{0x40, 0x80} { // both sizes
		if flags&present == 0 {
			continue
		}
		_, n := binary.Uvarint(fields)
		if n <= 0 {
			return 0, errors.New("no size")
		}
		fields = fields[n:]
	}
	if len(fields) < 3 || fields[0] != xzLZMA2 || fields[1] != 1 {
		return 0, errors.New("only LZMA2 is supported")
	}
	return lzma.DecodeDictCap(fields[2])
}

// xzCheckSize is how many bytes the check with this ID has.
func xzCheckSize(id byte) int {
	if id == 0 {
		return 0
	}
	return 4 << ((id - 1) / 3)
}

// xzCheck returns the check with this ID if it is a CRC. SHA-256 would find
// nothing more: nobody vouches for the file.
func xzCheck(id byte) hash.Hash {
	switch id {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	}
	return nil
}

// limited is a buffer that takes so much and no more.
type limited struct {
	buf  bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errors.New("too large unpacked")
	}
	l.left -= len(p)
	return l.buf.Write(p)
}
