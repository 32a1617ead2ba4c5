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

// maxDebugData limits the compressed and the uncompressed size of .gnu_debugdata in
// bytes. The largest programs have about 10 MiB.
const maxDebugData = 32 << 20

const (
	xzMagic      = "\xfd7zXZ\x00"
	xzHeaderSize = 12
	xzLZMA2      = 0x21
)

// unxz decompresses an xz file of up to limit bytes. The format is described in
// https://tukaani.org/xz/xz-file-format.txt, version 1.2.0.
//
// It parses the container itself, because the xz package allocates the dictionary that a
// block requests, up to 4 GiB, before it decompresses anything. Here the dictionary is
// limited to the size of the result. Anything after the blocks of the first stream is
// ignored.
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

// unxzBlock decompresses the block at the start of in and returns its compressed size.
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
	n = (n + 3) / 4 * 4 // headers and blocks are padded to multiples of 4
	size := xzCheckSize(check)
	if n+size > len(in) {
		return 0, io.ErrUnexpectedEOF
	}
	if sum := xzCheck(check); sum != nil {
		sum.Write(block)
		got := sum.Sum(nil) // big endian; the file has little endian
		for i := range got {
			if got[len(got)-1-i] != in[n+i] {
				return 0, errors.New("block: wrong checksum")
			}
		}
	}
	return n + size, nil
}

// xzDictionary returns the size of the dictionary from a block header, given without its
// checksum. LZMA2 is the only supported filter.
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

// xzCheckSize returns the size in bytes of the check with this ID.
func xzCheckSize(id byte) int {
	if id == 0 {
		return 0
	}
	return 4 << ((id - 1) / 3)
}

// xzCheck returns the hash of the check with this ID if it is a CRC, or nil. SHA-256 is
// not verified: the file is not trusted in any case.
func xzCheck(id byte) hash.Hash {
	switch id {
	case 1:
		return crc32.NewIEEE()
	case 4:
		return crc64.New(crc64.MakeTable(crc64.ECMA))
	}
	return nil
}

// limited is a buffer with a maximum size.
type limited struct {
	buf  bytes.Buffer
	left int // bytes
}

// Write implements io.Writer.
func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, errors.New("too large unpacked")
	}
	l.left -= len(p)
	return l.buf.Write(p)
}
