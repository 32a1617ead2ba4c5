package rwsink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

var errSnappy = errors.New("corrupt snappy block")

// Tags of a snappy block's elements, in their low two bits.
const (
	tagLiteral = 0
	tagCopy1   = 1
	tagCopy2   = 2
	tagCopy4   = 3
)

// decompress decodes a snappy block (format_description.txt of google/snappy)
// into dst's memory. It refuses more than limit bytes. It also refuses S2, which the
// usual Go decoders accept but other receivers do not.
func decompress(dst, src []byte, limit int) ([]byte, error) {
	size, n := binary.Uvarint(src)
	if n <= 0 {
		return nil, errSnappy
	}
	if size > uint64(limit) {
		return nil, fmt.Errorf("body of %d bytes is over the limit of %d", size, limit)
	}
	want := int(size)
	dst = slices.Grow(dst[:0], want)
	src = src[n:]
	for len(src) > 0 {
		var length, offset int
		switch tag := src[0]; tag & 3 {
		case tagLiteral:
			length = int(tag >> 2)
			extra := 0 // bytes of the length that follow
			if length >= 60 {
				extra = length - 59
				if len(src) < 1+extra {
					return nil, errSnappy
				}
				length = 0
				for i := range extra {
					length |= int(src[1+i]) << (8 * i)
				}
			}
			length++
			src = src[1+extra:]
			if length > len(src) || length > want-len(dst) {
				return nil, errSnappy
			}
			dst = append(dst, src[:length]...)
			src = src[length:]
			continue
		case tagCopy1:
			if len(src) < 2 {
				return nil, errSnappy
			}
			length, offset = 4+int(tag>>2)&7, int(tag>>5)<<8|int(src[1])
			src = src[2:]
		case tagCopy2:
			if len(src) < 3 {
				return nil, errSnappy
			}
			length, offset = 1+int(tag>>2), int(binary.LittleEndian.Uint16(src[1:]))
			src = src[3:]
		case tagCopy4:
			if len(src) < 5 {
				return nil, errSnappy
			}
			length, offset = 1+int(tag>>2), int(binary.LittleEndian.Uint32(src[1:]))
			src = src[5:]
		}
		if offset == 0 || offset > len(dst) || length > want-len(dst) {
			return nil, errSnappy
		}
		// A copy may read what it writes, which repeats a pattern: at most
		// offset bytes at a time.
		for length > 0 {
			from := dst[len(dst)-offset:]
			from = from[:min(length, offset)]
			dst = append(dst, from...)
			length -= len(from)
		}
	}
	if len(dst) != want {
		return nil, errSnappy
	}
	return dst, nil
}
