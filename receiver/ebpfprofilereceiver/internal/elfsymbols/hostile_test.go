package elfsymbols

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// endless is a file without an end, like a huge sparse file: headers, the same symbols
// repeated, and from namesAt on names.
type endless struct {
	head    []byte
	piece   []byte
	namesAt int64
	symbols int64 // read so far
	names   int64 // bytes
}

func (e *endless) ReadAt(p []byte, off int64) (int, error) {
	repeat := func(piece []byte, off int64) {
		for n := 0; n < len(p); {
			n += copy(p[n:], piece[(off+int64(n))%int64(len(piece)):])
		}
	}
	switch {
	case off < int64(len(e.head)):
		return copy(p, e.head[off:]), nil
	case off >= e.namesAt:
		e.names += int64(len(p))
		repeat(namePiece, off-e.namesAt)
	default:
		e.symbols += int64(len(p)) / symbolSize
		repeat(e.piece, off-int64(len(e.head)))
	}
	return len(p), nil
}

// namePiece holds names of 63 characters, each of a different character.
var namePiece = func() (piece []byte) {
	for c := byte('a'); c <= 'z'; c++ {
		piece = append(append(piece, bytes.Repeat([]byte{c}, 63)...), 0)
	}
	return piece
}()

const (
	endlessNames = 1 << 61
	stringsSize  = 64 << 20
)

// endlessHead returns headers that declare this many bytes of symbols.
func endlessHead(t *testing.T, size uint64) []byte {
	t.Helper()
	var head bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Shoff: headerSize, Shentsize: sectionSize, Shnum: 4}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	require.NoError(t, binary.Write(&head, binary.LittleEndian, h))
	require.NoError(t, binary.Write(&head, binary.LittleEndian, []elf.Section64{
		{},
		{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR), Addr: testBase, Size: 1 << 50},
		{Type: uint32(elf.SHT_SYMTAB), Off: headerSize + 4*sectionSize, Size: size, Link: 3, Entsize: symbolSize},
		{Type: uint32(elf.SHT_STRTAB), Off: endlessNames, Size: stringsSize},
	}))
	return head.Bytes()
}

// A file that declares 2^60 bytes of symbols, or that has more symbols than fit, does not
// exceed the limits.
func TestEndlessSymbols(t *testing.T) {
	const mib = 1 << 20
	f := func(size uint64, symbol func(i uint64) elf.Sym64, check func(*Table, error)) {
		t.Helper()
		var wanted []uint64
		for i := range uint64(1000) {
			wanted = append(wanted, testBase+i<<20)
		}
		r := &endless{head: endlessHead(t, size), namesAt: endlessNames}
		for i := range uint64(1 << 16) {
			var err error
			r.piece, err = binary.Append(r.piece, binary.LittleEndian, symbol(i))
			require.NoError(t, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		table, err := Read(r, ReadOptions{MaxTable: 4 * mib, Wanted: wanted})
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(128*mib))
		require.LessOrEqual(t, r.symbols, int64(4*maxSymbols))
		require.LessOrEqual(t, r.names, int64(3*stringsSize)+r.symbols*256)
		check(table, err)
	}
	f(1<<60, func(uint64) elf.Sym64 { return elf.Sym64{} }, func(_ *Table, err error) {
		require.ErrorIs(t, err, ErrNoSymbols)
	})
	partial := func(table *Table, err error) {
		t.Helper()
		require.NoError(t, err)
		require.True(t, table.Partial())
		require.LessOrEqual(t, table.Size(), 4*mib+1024)
	}
	// Nested functions, with names spread over the table.
	f(1<<24, func(i uint64) elf.Sym64 {
		return elf.Sym64{Name: uint32(1 + i*7919%65536*64), Info: function0, Shndx: 1, Value: testBase + i, Size: 1<<40 - 2*i}
	}, partial)
	// All functions at the wanted addresses, without a size.
	f(1<<24, func(i uint64) elf.Sym64 {
		return elf.Sym64{Name: uint32(1 + i), Info: local0, Shndx: 1, Value: testBase + i%1000<<20}
	}, partial)
	// No function at a wanted address.
	f(1<<24, func(i uint64) elf.Sym64 {
		return elf.Sym64{Name: 1, Info: local0, Shndx: 1, Value: testBase + 1 + i<<8, Size: 1}
	}, func(table *Table, err error) {
		partial(table, err)
		require.Zero(t, table.Len())
	})
}
