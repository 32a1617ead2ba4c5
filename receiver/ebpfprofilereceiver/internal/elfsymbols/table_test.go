package elfsymbols

import (
	"bytes"
	"debug/elf"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// readSymbols returns the table of a file with these symbols.
func readSymbols(tb testing.TB, opts ReadOptions, symbols ...testSymbol) *Table {
	tb.Helper()
	table, err := Read(bytes.NewReader(testELF{symbols: symbols}.bytes()), opts)
	require.NoError(tb, err)
	return table
}

// wantAt asserts names at offsets into the code, "" for none.
func wantAt(t *testing.T, table *Table, want map[uint64]string) {
	t.Helper()
	for at, name := range want {
		got, ok := table.Lookup(testBase + at)
		require.Equal(t, name, got, "at %#x", at)
		require.Equal(t, name != "", ok, "at %#x", at)
	}
}

func TestLookup(t *testing.T) {
	f := func(want map[uint64]string, symbols ...testSymbol) {
		t.Helper()
		wantAt(t, readSymbols(t, ReadOptions{}, symbols...), want)
	}
	// The space between functions with a size has no name.
	f(map[uint64]string{0: "", 0x10: "a", 0x1f: "a", 0x20: "", 0x2f: "", 0x30: "b", 0x3f: "b", 0x40: "", testCode: ""},
		testSymbol{"b", 0x30, 0x10, function0}, testSymbol{"a", 0x10, 0x10, function0})
	// A nested function takes precedence; after it the outer one continues.
	f(map[uint64]string{0x10: "outer", 0x20: "inner", 0x24: "innermost", 0x28: "inner", 0x30: "outer", 0x4f: "outer", 0x50: ""},
		testSymbol{"outer", 0x10, 0x40, function0}, testSymbol{"inner", 0x20, 0x10, function0}, testSymbol{"innermost", 0x24, 4, function0})
	f(map[uint64]string{0x10: "a", 0x1f: "a", 0x20: "b", 0x3f: "b", 0x40: ""}, // overlapping
		testSymbol{"a", 0x10, 0x20, function0}, testSymbol{"b", 0x20, 0x20, function0})
	// A function without a size extends to the next one or the end of the section.
	f(map[uint64]string{0x10: "open", 0x2f: "open", 0x30: "a", 0x40: "", 0x50: "last", testCode - 1: "last", testCode: ""},
		testSymbol{"open", 0x10, 0, function0}, testSymbol{"a", 0x30, 0x10, function0}, testSymbol{"last", 0x50, 0, local0})
	// In another function, an entry without a size extends to its end, and a label is
	// ignored.
	f(map[uint64]string{0x10: "f", 0x18: "f", 0x20: "entry", 0x2f: "entry", 0x30: ""},
		testSymbol{"f", 0x10, 0x20, function0}, testSymbol{"label", 0x18, 0, label0}, testSymbol{"entry", 0x20, 0, function0})
	// A function without a size at the start of one with a size does not extend it.
	f(map[uint64]string{0x10: "f", 0x1f: "f", 0x20: ""},
		testSymbol{"f", 0x10, 0x10, local0}, testSymbol{"a", 0x10, 0, function0}, testSymbol{"b", 0x10, 0, label0})
	// A label names hand-written code that no function covers.
	f(map[uint64]string{0x10: "label", 0x2f: "label", 0x30: "f"},
		testSymbol{"label", 0x10, 0, label0}, testSymbol{"f", 0x30, 0x10, function0})
	// Sizes beyond the section and beyond the address space.
	f(map[uint64]string{0x10: "f", testCode - 1: "f", testCode: ""}, testSymbol{"f", 0x10, 1 << 40, function0})
	f(map[uint64]string{0xf: "", 0x10: "f", testCode - 1: "f"}, testSymbol{"f", 0x10, 1<<64 - 1, function0})
	// Data, files, sections and symbols outside of code are ignored.
	f(map[uint64]string{0x10: "", 0x20: "f"},
		testSymbol{"data", 0x10, 4, byte(elf.STT_OBJECT)}, testSymbol{"file", 0x10, 4, byte(elf.STT_FILE)},
		testSymbol{"section", 0x10, 0, byte(elf.STT_SECTION)}, testSymbol{"outside", testCode, 4, function0}, testSymbol{"f", 0x20, 4, function0},
		testSymbol{"", 0x10, 4, function0}, testSymbol{"before", 1<<64 - 0x10, 4, function0})
	// IFUNCs are functions. Versions are not part of the name.
	f(map[uint64]string{0x10: "chosen", 0x20: "memcpy", 0x30: "@odd"},
		testSymbol{"chosen", 0x10, 4, byte(elf.STB_GLOBAL)<<4 | byte(elf.STT_GNU_IFUNC)},
		testSymbol{"memcpy@@GLIBC_2.14", 0x20, 4, function0}, testSymbol{"@odd", 0x30, 4, function0})
}

func TestAliases(t *testing.T) {
	f := func(want string, symbols ...testSymbol) {
		t.Helper()
		for range symbols { // in any order
			symbols = append(symbols[1:], symbols[0])
			wantAt(t, readSymbols(t, ReadOptions{}, symbols...), map[uint64]string{0: want, 3: want, 4: ""})
		}
	}
	f("c", testSymbol{"a", 0, 4, local0}, testSymbol{"b", 0, 4, weak0}, testSymbol{"c", 0, 4, function0})
	f("b", testSymbol{"a", 0, 4, local0}, testSymbol{"b", 0, 4, weak0})
	f("open", testSymbol{"__libc_open", 0, 4, function0}, testSymbol{"_open", 0, 4, function0}, testSymbol{"open", 0, 4, function0})
	f("aa", testSymbol{"b", 0, 4, function0}, testSymbol{"aa", 0, 4, function0}, testSymbol{"c", 0, 4, function0})
	f("z", testSymbol{"a", 0, 4, byte(elf.STB_GLOBAL) << 4}, testSymbol{"z", 0, 4, local0}) // without a type
	f("a", testSymbol{"a", 0, 4, function0}, testSymbol{"a", 0, 4, function0}, testSymbol{"a", 0, 4, local0})
}

// Mapping symbols of arm64 are not functions and do not end one.
func TestMappingSymbols(t *testing.T) {
	e := testELF{machine: elf.EM_AARCH64, symbols: []testSymbol{
		{"open", 0x10, 0, function0}, {"$x", 0x10, 0, label0}, {"$d", 0x18, 0, label0}, {"$x.7", 0x1c, 0, label0}, {"$y", 0x20, 0, label0},
	}}
	want := map[uint64]string{0x10: "open", 0x18: "open", 0x1f: "open", 0x20: "$y"}
	table, err := Read(bytes.NewReader(e.bytes()), ReadOptions{})
	require.NoError(t, err)
	wantAt(t, table, want)
	table, err = Read(bytes.NewReader(e.bytes()), ReadOptions{MaxTable: 1, Wanted: []uint64{testBase + 0x1f, testBase + 0x10}})
	require.NoError(t, err)
	require.True(t, table.Partial())
	wantAt(t, table, map[uint64]string{0x10: "open", 0x1f: "open", 0x20: ""})

	e.machine = elf.EM_X86_64
	table, err = Read(bytes.NewReader(e.bytes()), ReadOptions{})
	require.NoError(t, err)
	wantAt(t, table, map[uint64]string{0x18: "$d"})
}

// A table that would be too large covers the wanted addresses with the same names as the
// whole table.
func TestPartialTable(t *testing.T) {
	var symbols []testSymbol
	for i := range uint64(200) {
		symbols = append(symbols, testSymbol{fmt.Sprintf("sized_%d", i), i * 16, 8, function0})
		if i%4 == 0 {
			symbols = append(symbols, testSymbol{fmt.Sprintf("open_%d", i), i*16 + 8, 0, local0})
		}
	}
	whole := readSymbols(t, ReadOptions{}, symbols...)
	require.False(t, whole.Partial())
	for _, wanted := range [][]uint64{{0}, {9}, {200*16 - 1}, {0xfff}, {5, 3, 5, 0x108, 0x10b, 0x10f, 0x110, 0x7ff, 0x100, 0x118, 0x148}} {
		for i := range wanted {
			wanted[i] += testBase
		}
		table := readSymbols(t, ReadOptions{MaxTable: 1000, Wanted: wanted}, symbols...)
		require.True(t, table.Partial())
		require.LessOrEqual(t, table.Len(), len(wanted))
		for _, addr := range wanted {
			want, wantOK := whole.Lookup(addr)
			got, ok := table.Lookup(addr)
			require.Equal(t, want, got, "at %#x", addr)
			require.Equal(t, wantOK, ok)
		}
		// Other addresses have the right name or none.
		for addr := uint64(testBase); addr < testBase+testCode; addr++ {
			if got, ok := table.Lookup(addr); ok {
				want, _ := whole.Lookup(addr)
				require.Equal(t, want, got, "at %#x", addr)
			}
		}
	}
	none := readSymbols(t, ReadOptions{MaxTable: 1000}, symbols...)
	require.True(t, none.Partial())
	require.Zero(t, none.Len())
}

// Code that spans more than 4 GiB needs more memory for its addresses.
func TestWideTable(t *testing.T) {
	names := []byte("a\x00b\x00")
	table := newTable([]codeRange{{start: 0x1000, size: 0x10}, {start: 1 << 40, size: 0x10, name: 2}}, names)
	require.Nil(t, table.starts)
	f := func(addr uint64, want string) {
		t.Helper()
		got, _ := table.Lookup(addr)
		require.Equal(t, want, got, "at %#x", addr)
	}
	f(0xfff, "")
	f(0x1000, "a")
	f(0x100f, "a")
	f(0x1010, "")
	f(1<<40-1, "")
	f(1<<40, "b")
	f(1<<40+0xf, "b")
	f(1<<40+0x10, "")
	f(1<<64-1, "")

	narrow := newTable([]codeRange{{start: 0x1000, size: 0x10}, {start: 0x1000 + 1<<32 - 1, size: 0x10, name: 2}}, names)
	require.Nil(t, narrow.wide)
	got, _ := narrow.Lookup(0x1000 + 1<<32 + 0xe)
	require.Equal(t, "b", got, "the start just fits, the address does not")
	_, ok := narrow.Lookup(0x1000 + 1<<32 + 0xf)
	require.False(t, ok)
	_, ok = (&Table{}).Lookup(0)
	require.False(t, ok)
}

// Every used name is stored once, and unused names are not stored.
func TestNamesAreKeptOnce(t *testing.T) {
	var symbols []testSymbol
	for i := range uint64(250) {
		symbols = append(symbols, testSymbol{"init", i * 16, 8, local0},
			testSymbol{fmt.Sprintf("__alias_%d", i), i*16 + 8, 8, function0}, testSymbol{fmt.Sprintf("f%03d", i), i*16 + 8, 8, function0})
	}
	table := readSymbols(t, ReadOptions{}, symbols...)
	require.Equal(t, 500, table.Len())
	require.Len(t, table.blob, len("init")+1+250*(len("f000")+1))
	wantAt(t, table, map[uint64]string{0: "init", 8: "f000", 249 * 16: "init", 249*16 + 8: "f249"})
}

// Names in a large table are read through a window, in any order of symbols.
func TestStringTableWindows(t *testing.T) {
	const count = 100000
	var strtab bytes.Buffer
	at := make([]uint64, count)
	name := func(i int) string {
		s := fmt.Sprintf("name_%d_", i)
		if i%1000 == 0 {
			s += string(bytes.Repeat([]byte{'x'}, maxName))
		}
		return s + string(bytes.Repeat([]byte{'y'}, 90))
	}
	strtab.WriteByte(0)
	for i := range at {
		at[i] = uint64(strtab.Len())
		strtab.WriteString(name(i) + "\x00")
	}
	strtab.WriteString("endless")
	require.Greater(t, strtab.Len(), wholeTable)
	for _, step := range []int{1, 7919, count - 1} { // ascending, scattered, descending
		r := &counting{r: bytes.NewReader(strtab.Bytes())}
		s := stringTable{r: r, size: uint64(strtab.Len())}
		for k, i := 0, 0; k < count; k, i = k+1, (i+step)%count {
			got, err := s.at(at[i])
			require.NoError(t, err)
			want := name(i)
			require.Equal(t, want[:min(len(want), maxName)], string(got))
		}
		require.Less(t, r.bytes, 3*strtab.Len()+count*512)
		got, err := s.at(s.size - 3)
		require.NoError(t, err)
		require.Empty(t, got, "a name without an end")
		got, err = s.at(s.size)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

// counting counts the bytes that are read.
type counting struct {
	r     *bytes.Reader
	bytes int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	c.bytes += len(p)
	return c.r.ReadAt(p, off)
}
