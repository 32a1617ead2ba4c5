package elfsymbols

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// testELF describes a minimal ELF file: 0x1000 bytes of code at 0x400000, with symbols.
type testELF struct {
	machine      elf.Machine // EM_X86_64 if 0
	symbols      []testSymbol
	symtabOffset uint64 // of the section; where the symbols are if 0
}

// testSymbol is a symbol at an offset into the code.
type testSymbol struct {
	name     string
	at, size uint64
	info     byte
}

const (
	testBase = 0x400000
	testCode = 0x1000

	function0 = byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_FUNC)
	weak0     = byte(elf.STB_WEAK)<<4 | byte(elf.STT_FUNC)
	local0    = byte(elf.STB_LOCAL)<<4 | byte(elf.STT_FUNC)
	label0    = byte(elf.STB_LOCAL)<<4 | byte(elf.STT_NOTYPE)
)

func (e testELF) bytes() []byte {
	if e.machine == 0 {
		e.machine = elf.EM_X86_64
	}
	names := []byte{0}
	var symtab bytes.Buffer
	symtab.Write(make([]byte, symbolSize))
	put := func(to *bytes.Buffer, v any) {
		if err := binary.Write(to, binary.LittleEndian, v); err != nil {
			panic(err) //nolint:forbidigo // a bug in the test
		}
	}
	for _, s := range e.symbols {
		put(&symtab, elf.Sym64{Name: uint32(len(names)), Info: s.info, Shndx: 1, Value: testBase + s.at, Size: s.size})
		names = append(append(names, s.name...), 0)
	}
	sectionNames := []byte("\x00.text\x00.symtab\x00.strtab\x00")
	symtabAt := uint64(headerSize)
	namesAt := symtabAt + uint64(symtab.Len())
	sectionNamesAt := namesAt + uint64(len(names))
	sectionsAt := sectionNamesAt + uint64(len(sectionNames))
	if e.symtabOffset != 0 {
		symtabAt = e.symtabOffset
	}
	var out bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(e.machine), Version: 1, Shoff: sectionsAt, Ehsize: headerSize,
		Shentsize: sectionSize, Shnum: 5, Shstrndx: 4,
	}
	copy(h.Ident[:], elf.ELFMAG+"\x02\x01\x01")
	put(&out, h)
	out.Write(symtab.Bytes())
	out.Write(names)
	out.Write(sectionNames)
	put(&out, []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_NOBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR), Addr: testBase, Size: testCode},
		{Name: 7, Type: uint32(elf.SHT_SYMTAB), Off: symtabAt, Size: uint64(symtab.Len()), Link: 3, Entsize: symbolSize},
		{Name: 15, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names))},
		{Name: 15, Type: uint32(elf.SHT_STRTAB), Off: sectionNamesAt, Size: uint64(len(sectionNames))},
	})
	return out.Bytes()
}
