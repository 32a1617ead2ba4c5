package elfsymbols

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	maxSymbols = 1 << 23   // of one section; the largest browsers have about 2 million
	maxStrings = 512 << 20 // bytes of one string table; names beyond it are not read
	maxName    = 8 << 10   // bytes; a longer name is truncated
	wholeTable = 8 << 20   // string tables up to this many bytes are read at once
	window     = 64 << 10  // bytes that are read at once of a larger one
)

// symbol is a function, or a label in code, of a symbol table.
type symbol struct {
	start, size uint64
	sectionEnd  uint64
	name        uint32 // offset in the string table
	binding     elf.SymBind
	label       bool // has no type: hand-written code
}

// symbolTable is a section of symbols and the section of their names.
type symbolTable struct {
	im      *image
	source  Source
	symbols *elf.Section64
	names   stringTable
}

// newSymbolTable returns the table of the given type, or nil if the file has none.
func newSymbolTable(im *image, kind elf.SectionType, source Source) *symbolTable {
	s := im.sectionOf(kind)
	if s == nil || s.Entsize != symbolSize || uint64(s.Link) >= uint64(len(im.sections)) {
		return nil
	}
	names := &im.sections[s.Link]
	if elf.SectionType(names.Type) != elf.SHT_STRTAB || elf.SectionFlag(names.Flags|s.Flags)&elf.SHF_COMPRESSED != 0 {
		return nil
	}
	return &symbolTable{im: im, source: source, symbols: s, names: stringTable{
		r: im.r, off: names.Off, size: min(names.Size, maxStrings),
	}}
}

// errStop is returned by a visitor to end functions without an error.
var errStop = errors.New("stop")

// functions calls visit for every function and label in code, in the order of the
// file, until visit returns an error. The symbols are read in chunks: a truncated table
// is an error after its last whole chunk.
func (t *symbolTable) functions(visit func(symbol) error) error {
	const chunk = symbolSize * 4096
	left := min(t.symbols.Size/symbolSize, maxSymbols) * symbolSize
	buf := make([]byte, min(chunk, left))
	for off := t.symbols.Off; left > 0; {
		buf = buf[:min(uint64(len(buf)), left)]
		if err := readAt(t.im.r, buf, off); err != nil {
			return fmt.Errorf("read symbols: %w", err)
		}
		off += uint64(len(buf))
		left -= uint64(len(buf))
		for raw := buf; len(raw) > 0; raw = raw[symbolSize:] {
			s, ok := t.im.function(raw)
			if !ok {
				continue
			}
			if err := visit(s); err != nil {
				if err == errStop { //nolint:errorlint // a visitor returns it as it is
					return nil
				}
				return err
			}
		}
	}
	return nil
}

// function decodes an Elf64_Sym and reports whether it is a symbol of code.
func (im *image) function(raw []byte) (symbol, bool) {
	section, name := elf.SectionIndex(binary.LittleEndian.Uint16(raw[6:])), binary.LittleEndian.Uint32(raw)
	if section == elf.SHN_UNDEF || section == elf.SHN_ABS || name == 0 {
		return symbol{}, false // defined in another file, or not an address
	}
	info := raw[4]
	kind := elf.ST_TYPE(info)
	if kind != elf.STT_FUNC && kind != elf.STT_GNU_IFUNC && kind != elf.STT_NOTYPE {
		return symbol{}, false
	}
	s := symbol{
		name:    name,
		start:   binary.LittleEndian.Uint64(raw[8:]),
		size:    binary.LittleEndian.Uint64(raw[16:]),
		binding: elf.ST_BIND(info),
		label:   kind == elf.STT_NOTYPE,
	}
	end, ok := im.codeAt(s.start)
	if !ok {
		return symbol{}, false
	}
	s.sectionEnd = end
	return s, true
}

// isMappingSymbol reports whether a symbol marks a change between code and data, as the
// ABI of arm64 requires ($x, $d.7). Such symbols name no function.
func isMappingSymbol(m elf.Machine, name []byte) bool {
	return m == elf.EM_AARCH64 && len(name) >= 2 && name[0] == '$' &&
		(name[1] == 'x' || name[1] == 'd') && (len(name) == 2 || name[2] == '.')
}

// name returns the name of a symbol without its version (memcpy@@GLIBC_2.14). It is
// empty if there is none, and valid until the next call.
func (t *symbolTable) name(s symbol) ([]byte, error) {
	name, err := t.names.at(uint64(s.name))
	if err != nil {
		return nil, err
	}
	if s.label && isMappingSymbol(t.im.machine, name) {
		return nil, nil
	}
	if i := bytes.IndexByte(name, '@'); i > 0 {
		name = name[:i]
	}
	return name, nil
}

// stringTable reads names from a section. A small section is read at once, a large one
// through a window, because symbols are mostly in the order of their names. In a file
// where they are not, every symbol could need another window. Once more than twice the
// section has been read, the window shrinks.
type stringTable struct {
	r         io.ReaderAt
	off, size uint64
	buf       []byte
	bufAt     uint64 // offset of buf in the table
	read      uint64 // bytes read so far
}

// at returns the name at offset i, truncated to maxName bytes.
func (t *stringTable) at(i uint64) ([]byte, error) {
	if i >= t.size {
		return nil, nil
	}
	if name, ok := t.buffered(i); ok {
		return name, nil
	}
	if t.size <= wholeTable {
		if err := t.fill(0, t.size); err != nil {
			return nil, err
		}
		name, _ := t.buffered(i)
		return name, nil
	}
	size := uint64(window)
	if t.read > 2*t.size {
		size = 256
	}
	for ; ; size = maxName {
		if err := t.fill(i, size); err != nil {
			return nil, err
		}
		if name, ok := t.buffered(i); ok {
			return name, nil
		}
	}
}

// buffered returns the name at offset i, and whether buf has what is needed to tell:
// the whole name, or the rest of the table. A name without a terminating zero is
// nil.
func (t *stringTable) buffered(i uint64) ([]byte, bool) {
	if i < t.bufAt || i-t.bufAt >= uint64(len(t.buf)) {
		return nil, false
	}
	rest := t.buf[i-t.bufAt:]
	rest = rest[:min(len(rest), maxName)]
	if end := bytes.IndexByte(rest, 0); end >= 0 {
		return rest[:end], true
	}
	if len(rest) == maxName {
		return rest, true
	}
	return nil, t.bufAt+uint64(len(t.buf)) == t.size
}

// fill reads up to size bytes at the offset i into buf.
func (t *stringTable) fill(i, size uint64) error {
	size = min(size, t.size-i)
	if uint64(cap(t.buf)) < size {
		t.buf = make([]byte, size)
	}
	t.buf, t.bufAt = t.buf[:size], i
	t.read += size
	if err := readAt(t.r, t.buf, t.off+i); err != nil {
		t.buf = t.buf[:0]
		return fmt.Errorf("read names: %w", err)
	}
	return nil
}
