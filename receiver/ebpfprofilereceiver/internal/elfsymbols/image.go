package elfsymbols

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
)

// ErrFormat is wrapped by the errors for a file that is not an ELF file this package can
// read. It is permanent for the file.
var ErrFormat = errors.New("not a readable ELF file")

const (
	headerSize  = 64
	sectionSize = 64
	symbolSize  = 24

	maxSectionNames = 1 << 20
	maxNotes        = 64 << 10
)

// image is an ELF file with its sections.
type image struct {
	r        io.ReaderAt
	machine  elf.Machine
	sections []elf.Section64
	names    []byte // of the sections, each terminated by a zero
	code     []span // the sections of code, ordered by address
}

// parse reads the headers of an ELF file. It reads at most 4 MiB of section headers: the
// extended numbering that allows more is used by object files only.
func parse(r io.ReaderAt) (*image, error) {
	buf := make([]byte, headerSize)
	if err := readAt(r, buf, 0); err != nil {
		return nil, fmt.Errorf("read the ELF header: %w", err)
	}
	if string(buf[:4]) != elf.ELFMAG {
		return nil, fmt.Errorf("%w: it begins with % x", ErrFormat, buf[:4])
	}
	class, data := elf.Class(buf[elf.EI_CLASS]), elf.Data(buf[elf.EI_DATA])
	if class != elf.ELFCLASS64 || data != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("%w: it is %s, %s; only 64 bit little endian is read", ErrFormat, class, data)
	}
	var h elf.Header64
	if _, err := binary.Decode(buf, binary.LittleEndian, &h); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	if t := elf.Type(h.Type); t != elf.ET_EXEC && t != elf.ET_DYN {
		return nil, fmt.Errorf("%w: it is %s; only executables and shared objects have addresses", ErrFormat, t)
	}
	im := &image{r: r, machine: elf.Machine(h.Machine)}
	if h.Shnum == 0 {
		return im, nil
	}
	if h.Shentsize != sectionSize {
		return nil, fmt.Errorf("%w: section headers of %d bytes instead of %d", ErrFormat, h.Shentsize, sectionSize)
	}
	buf = make([]byte, int(h.Shnum)*sectionSize)
	if err := readAt(r, buf, h.Shoff); err != nil {
		return nil, fmt.Errorf("read %d section headers: %w", h.Shnum, err)
	}
	im.sections = make([]elf.Section64, h.Shnum)
	if _, err := binary.Decode(buf, binary.LittleEndian, im.sections); err != nil {
		return nil, fmt.Errorf("%w: section headers: %w", ErrFormat, err)
	}
	im.code = codeSections(im.sections)
	if int(h.Shstrndx) < len(im.sections) {
		names, err := im.content(&im.sections[h.Shstrndx], maxSectionNames)
		if err != nil && !errors.Is(err, ErrFormat) {
			return nil, fmt.Errorf("read the names of the sections: %w", err)
		}
		im.names = names // if they are malformed, sections are still found by type
	}
	return im, nil
}

// section returns the section with this name, or nil.
func (im *image) section(name string) *elf.Section64 {
	for i := range im.sections {
		s := &im.sections[i]
		if uint64(s.Name) >= uint64(len(im.names)) {
			continue
		}
		rest, found := bytes.CutPrefix(im.names[s.Name:], []byte(name))
		if found && len(rest) > 0 && rest[0] == 0 {
			return s
		}
	}
	return nil
}

// sectionOf returns the first section of this type, or nil.
func (im *image) sectionOf(t elf.SectionType) *elf.Section64 {
	for i := range im.sections {
		if elf.SectionType(im.sections[i].Type) == t {
			return &im.sections[i]
		}
	}
	return nil
}

// content reads a whole section, which may have at most limit bytes.
func (im *image) content(s *elf.Section64, limit int) ([]byte, error) {
	switch {
	case elf.SectionType(s.Type) == elf.SHT_NOBITS || elf.SectionFlag(s.Flags)&elf.SHF_COMPRESSED != 0:
		return nil, fmt.Errorf("%w: the section has no plain content", ErrFormat)
	case s.Size > uint64(limit):
		return nil, fmt.Errorf("%w: a section of %d bytes, limit: %d bytes", ErrFormat, s.Size, limit)
	}
	buf := make([]byte, s.Size)
	if err := readAt(im.r, buf, s.Off); err != nil {
		return nil, err
	}
	return buf, nil
}

// span is the address range [start, end) of a section.
type span struct{ start, end uint64 }

// codeSections returns the sections of code, ordered by address.
func codeSections(sections []elf.Section64) []span {
	var code []span
	for i := range sections {
		s := &sections[i]
		const flags = uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR)
		if s.Flags&flags == flags && s.Addr+s.Size > s.Addr {
			code = append(code, span{s.Addr, s.Addr + s.Size})
		}
	}
	slices.SortFunc(code, func(x, y span) int { return cmp.Compare(x.start, y.start) })
	return code
}

// codeAt returns the end of the section of code that contains the address. The section
// index of a symbol is not reliable, because tools that remove sections do not update it
// in .dynsym.
func (im *image) codeAt(addr uint64) (end uint64, ok bool) {
	i, found := slices.BinarySearchFunc(im.code, addr, func(s span, addr uint64) int { return cmp.Compare(s.start, addr) })
	if !found {
		i--
	}
	if i < 0 || addr >= im.code[i].end {
		return 0, false
	}
	return im.code[i].end, true
}

// buildID returns the GNU build ID, or nil if there is none.
func (im *image) buildID() ([]byte, error) {
	for i := range im.sections {
		s := &im.sections[i]
		if elf.SectionType(s.Type) != elf.SHT_NOTE {
			continue
		}
		notes, err := im.content(s, maxNotes)
		if errors.Is(err, ErrFormat) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read notes: %w", err)
		}
		if id := buildIDNote(notes, max(s.Addralign, 4)); id != nil {
			return id, nil
		}
	}
	return nil, nil
}

// buildIDNote returns the build ID from notes, whose parts are aligned to align bytes, or
// nil. IDs of less than two bytes cannot name a file, and those of more than 64 are not
// hashes; both are ignored.
func buildIDNote(notes []byte, align uint64) []byte {
	if align > 8 {
		align = 4
	}
	pad := func(n uint64) uint64 { return (n + align - 1) / align * align }
	for len(notes) >= 12 {
		nameSize := uint64(binary.LittleEndian.Uint32(notes))
		descSize := uint64(binary.LittleEndian.Uint32(notes[4:]))
		kind := binary.LittleEndian.Uint32(notes[8:])
		desc := pad(12 + nameSize)
		if desc+descSize > uint64(len(notes)) {
			return nil
		}
		const gnuBuildID = 3 // NT_GNU_BUILD_ID
		if kind == gnuBuildID && string(notes[12:12+nameSize]) == "GNU\x00" && descSize >= 2 && descSize <= 64 {
			return notes[desc : desc+descSize]
		}
		notes = notes[min(pad(desc+descSize), uint64(len(notes))):]
	}
	return nil
}

// readAt fills buf. An error because the file ends early wraps ErrFormat: reading again
// would not help.
func readAt(r io.ReaderAt, buf []byte, off uint64) error {
	if len(buf) == 0 {
		return nil
	}
	if off > math.MaxInt64-uint64(len(buf)) {
		return fmt.Errorf("%w: offset %d", ErrFormat, off)
	}
	n, err := r.ReadAt(buf, int64(off))
	switch {
	case n == len(buf):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends within %d bytes at %d", ErrFormat, len(buf), off)
	}
	return err
}
