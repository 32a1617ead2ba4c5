package elfsymbols

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrograms(t *testing.T) {
	f := func(name, compiler string, args []string, sources map[string]string, contains ...string) {
		t.Run(name, func(t *testing.T) {
			file := build(t, compiler, args, sources)
			table := readFile(t, file, ReadOptions{})
			require.Equal(t, SourceSymtab, table.Sources()&SourceSymtab)
			functions := nm(t, file)
			requireNames(t, table, functions)
			var names []string
			for _, s := range functions {
				name, _ := table.Lookup(s.addr)
				names = append(names, name)
			}
			for _, want := range contains {
				require.Contains(t, names, want)
			}
		})
	}
	c := map[string]string{"a.c": cSource, "main.c": cMain}
	cxx := map[string]string{"a.cc": cxxSource, "main.cc": "extern \"C\" " + cMain}
	cNames := []string{"main", "entry", "helper", "weak_one", "aligned_one", "alias_one", "indirect"}
	f("C PIE", "gcc", []string{"-O1", "-pie", "-fPIE"}, c, cNames...)
	f("C not PIE", "gcc", []string{"-O1", "-no-pie"}, c, cNames...)
	f("C static", "gcc", []string{"-O1", "-static"}, c, append(cNames, "__vfprintf_internal", "malloc")...)
	f("C static PIE", "gcc", []string{"-O1", "-static-pie", "-fPIE"}, c, cNames...)
	f("C shared", "gcc", []string{"-O1", "-shared", "-fPIC"}, map[string]string{"a.c": cSource}, "entry", "helper")
	f("C gold", "gcc", []string{"-O1", "-fuse-ld=gold"}, c, cNames...)
	f("C sections", "gcc", []string{"-O2", "-ffunction-sections", "-Wl,--gc-sections"}, c, "main", "entry")
	f("C++", "g++", []string{"-O1"}, cxx, "main", "entry", "_ZN4shop4CartINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE3putERKS6_")
	f("C++ static", "g++", []string{"-O1", "-static"}, cxx, "main", "entry", "__cxa_throw")
	f("Rust", "rustc", []string{"-O", "--edition=2021"}, map[string]string{"main.rs": rustSource}, "main")
}

// A stripped file has only the functions in .dynsym; the others are in other places.
func TestStripped(t *testing.T) {
	file := build(t, "gcc", []string{"-O1", "-shared", "-fPIC", "-Wl,--build-id=sha1"}, map[string]string{"a.c": cSource})
	dir := filepath.Dir(file)
	all, dynamic := nm(t, file), nm(t, file, "-D")
	unstripped := readFile(t, file, ReadOptions{})
	root := t.TempDir()
	in := func(p string) string {
		p = filepath.Join(root, p)
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		return p
	}
	run(t, dir, "objcopy", "--only-keep-debug", "out", "out.debug")
	run(t, dir, "strip", "-o", "stripped", "out")
	stripped := filepath.Join(dir, "stripped")

	// requireSame checks that names are those from before the file was stripped.
	requireSame := func(t *testing.T, table *Table, sources Source) {
		t.Helper()
		require.Equal(t, sources, table.Sources(), "%s", table.Sources())
		requireNames(t, table, all)
		for _, s := range all {
			want, _ := unstripped.Lookup(s.addr)
			name, _ := table.Lookup(s.addr)
			require.Equal(t, want, name)
		}
	}
	requireSame(t, unstripped, SourceSymtab|SourceDynsym)
	open := func(p string) (File, error) {
		f, err := os.Open(filepath.Join(root, p))
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	opts := ReadOptions{Path: "/opt/lib/out", Open: open}

	t.Run("dynsym", func(t *testing.T) {
		table := readFile(t, stripped, opts)
		require.Equal(t, SourceDynsym, table.Sources())
		requireNames(t, table, dynamic)
		for _, s := range all {
			if s.name == "helper" {
				_, ok := table.Lookup(s.addr)
				require.False(t, ok, "a local function is not in .dynsym")
			}
		}
	})
	t.Run("build ID", func(t *testing.T) {
		id := buildIDOf(t, file)
		run(t, "", "cp", filepath.Join(dir, "out.debug"), in("/usr/lib/debug/.build-id/"+id[:2]+"/"+id[2:]+".debug"))
		requireSame(t, readFile(t, stripped, opts), SourceBuildIDFile|SourceDynsym)
		require.Equal(t, SourceDynsym, readFile(t, stripped, ReadOptions{}).Sources(), "nothing to open it with")

		// A debug file of another program at the same path is not used.
		other := build(t, "gcc", []string{"-shared", "-fPIC", "-Wl,--build-id=sha1"}, map[string]string{"b.c": "int other(void) { return 1; }"})
		run(t, "", "cp", other, in("/usr/lib/debug/.build-id/"+id[:2]+"/"+id[2:]+".debug"))
		require.Equal(t, SourceDynsym, readFile(t, stripped, opts).Sources())
		require.NoError(t, os.RemoveAll(in("/usr")))
	})
	t.Run("debug link", func(t *testing.T) {
		run(t, dir, "objcopy", "--add-gnu-debuglink=out.debug", "stripped", "linked")
		run(t, dir, "objcopy", "--remove-section=.note.gnu.build-id", "out", "noid")
		run(t, dir, "objcopy", "--only-keep-debug", "noid", "noid.debug")
		run(t, dir, "strip", "noid")
		run(t, dir, "objcopy", "--add-gnu-debuglink=noid.debug", "noid")
		for _, place := range []string{"/opt/lib/", "/opt/lib/.debug/", "/usr/lib/debug/opt/lib/"} {
			for file, debug := range map[string]string{"linked": "out.debug", "noid": "noid.debug"} {
				require.Equal(t, SourceDynsym, readFile(t, filepath.Join(dir, file), opts).Sources())
				run(t, "", "cp", filepath.Join(dir, debug), in(place+debug))
				requireSame(t, readFile(t, filepath.Join(dir, file), opts), SourceDebugLink|SourceDynsym)
				require.Equal(t, SourceDynsym, readFile(t, filepath.Join(dir, file), ReadOptions{Open: open}).Sources(), "the path is not known")

				// If a byte is changed, the checksum refuses the file without a build ID.
				content, err := os.ReadFile(filepath.Join(dir, debug))
				require.NoError(t, err)
				content[len(content)-1] ^= 1
				require.NoError(t, os.WriteFile(in(place+debug), content, 0o600))
				want := SourceDynsym
				if file == "linked" {
					want |= SourceDebugLink
				}
				require.Equal(t, want, readFile(t, filepath.Join(dir, file), opts).Sources())
				require.NoError(t, os.RemoveAll(in(place)))
			}
		}
	})
	t.Run("gnu_debugdata", func(t *testing.T) {
		// As with Fedora's find-debuginfo: the functions that are not in .dynsym.
		var keep strings.Builder
		for _, s := range all {
			if !strings.Contains(" "+dynamicNames(dynamic)+" ", " "+s.name+" ") {
				keep.WriteString(s.name + "\n")
			}
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "keep"), []byte(keep.String()), 0o600))
		run(t, dir, "objcopy", "-S", "--remove-section=.comment", "--keep-symbols=keep", "out.debug", "mini")
		for _, args := range [][]string{{}, {"-9e", "--check=crc32"}, {"--check=none"}, {"--check=sha256"}, {"--block-size=1024"}} {
			run(t, dir, "xz", append(append([]string{"-k", "-f"}, args...), "mini")...)
			run(t, dir, "objcopy", "--add-section=.gnu_debugdata=mini.xz", "stripped", "withmini")
			requireSame(t, readFile(t, filepath.Join(dir, "withmini"), opts), SourceDebugData|SourceDynsym)
		}
		// A malformed part is skipped.
		packed, err := os.ReadFile(filepath.Join(dir, "mini.xz"))
		require.NoError(t, err)
		for _, broken := range [][]byte{packed[:len(packed)/2], packed[:20], []byte("no xz"), bytes.Repeat([]byte{0xff}, 100)} {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "broken"), broken, 0o600))
			run(t, dir, "objcopy", "--add-section=.gnu_debugdata=broken", "stripped", "withbroken")
			require.Equal(t, SourceDynsym, readFile(t, filepath.Join(dir, "withbroken"), opts).Sources())
		}
	})
}

func dynamicNames(functions []nmSymbol) string {
	var names []string
	for _, s := range functions {
		names = append(names, s.name)
	}
	return strings.Join(names, " ")
}

// buildIDOf returns the build ID according to readelf.
func buildIDOf(t *testing.T, file string) string {
	t.Helper()
	_, id, found := strings.Cut(run(t, "", "readelf", "-n", file), "Build ID: ")
	require.True(t, found)
	return strings.Fields(id)[0]
}

func TestLibc(t *testing.T) {
	file := strings.TrimSpace(run(t, "", "gcc", "-print-file-name=libc.so.6"))
	if !filepath.IsAbs(file) {
		t.Skip("no libc.so.6")
	}
	requireNames(t, readFile(t, file, ReadOptions{}), nm(t, file, "-D"))
}

func TestGoTool(t *testing.T) {
	file, err := exec.LookPath("go")
	require.NoError(t, err)
	table := readFile(t, file, ReadOptions{})
	functions := nm(t, file)
	for _, s := range functions {
		if s.size == 0 {
			continue
		}
		name, ok := table.Lookup(s.addr)
		require.True(t, ok)
		require.Equal(t, s.name, name)
	}
}

// The vDSO is mapped into every process by the kernel and has no file. Its address is in the
// auxiliary vector.
func TestVDSO(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no vDSO")
	}
	const sysinfoEHDR = 33 // AT_SYSINFO_EHDR
	auxv, err := os.ReadFile("/proc/self/auxv")
	require.NoError(t, err)
	var base uint64
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.NativeEndian.Uint64(auxv) == sysinfoEHDR {
			base = binary.NativeEndian.Uint64(auxv[8:])
		}
	}
	if base == 0 {
		t.Skip("the kernel maps no vDSO")
	}
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	require.Contains(t, string(maps), "[vdso]")
	mem, err := os.Open("/proc/self/mem")
	require.NoError(t, err)
	defer mem.Close()
	image := make([]byte, 2*os.Getpagesize())
	n, err := mem.ReadAt(image, int64(base))
	if n == 0 {
		t.Skipf("the memory cannot be read: %v", err)
	}
	table, err := Read(bytes.NewReader(image[:n]), ReadOptions{})
	require.NoError(t, err)
	var names []string
	for i := range table.sizes {
		names = append(names, string(nameAt(table.blob, table.names[i])))
	}
	require.Condition(t, func() bool {
		for _, name := range names {
			if strings.HasSuffix(name, "clock_gettime") {
				return true
			}
		}
		return false
	}, "%s", names)
}

func TestReadErrors(t *testing.T) {
	f := func(content []byte, sentinel error, text string) {
		t.Helper()
		_, err := Read(bytes.NewReader(content), ReadOptions{})
		require.ErrorIs(t, err, sentinel)
		require.ErrorContains(t, err, text)
	}
	whole := testELF{symbols: []testSymbol{{name: "f", at: 0, size: 4, info: function0}}}.bytes()
	change := func(at int, to ...byte) []byte {
		c := bytes.Clone(whole)
		copy(c[at:], to)
		return c
	}
	f(nil, ErrFormat, "ends within 64 bytes at 0")
	f([]byte(strings.Repeat("#!/bin/sh\n", 10)), ErrFormat, "it begins with 23 21 2f 62")
	f(change(4, 1), ErrFormat, "ELFCLASS32, ELFDATA2LSB; only 64 bit little endian is read")
	f(change(5, 2), ErrFormat, "ELFCLASS64, ELFDATA2MSB")
	f(change(16, 1), ErrFormat, "ET_REL; only executables and shared objects")
	f(change(58, 40), ErrFormat, "section headers of 40 bytes instead of 64")
	f(whole[:len(whole)-1], ErrFormat, "section headers: not a readable ELF file: it ends within")
	f(change(40, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), ErrFormat, "offset 18446744073709551615")
	f(change(60, 0, 0), ErrNoSymbols, "no symbols")
	f(testELF{}.bytes(), ErrNoSymbols, "no symbols")

	broken := testELF{symbols: []testSymbol{{name: "f", at: 0, size: 4, info: function0}}, symtabOffset: 1 << 40}.bytes()
	f(broken, ErrNoSymbols, "symtab: read symbols: not a readable ELF file: it ends within")

	_, err := Read(failing{bytes.NewReader(whole)}, ReadOptions{})
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.NotErrorIs(t, err, ErrFormat)
}

// failing is a reader that fails after the header.
type failing struct{ r io.ReaderAt }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		return 0, io.ErrClosedPipe
	}
	return f.r.ReadAt(p, off)
}

// A read error is never taken for an error of the content.
func TestReadFails(t *testing.T) {
	file := build(t, "gcc", []string{"-O1", "-shared", "-fPIC", "-Wl,--build-id=sha1"}, map[string]string{"a.c": cSource})
	dir := filepath.Dir(file)
	run(t, dir, "objcopy", "--only-keep-debug", "out", "out.debug")
	run(t, dir, "objcopy", "--strip-all", "--add-gnu-debuglink=out.debug", "out", "stripped")
	debug, err := os.ReadFile(filepath.Join(dir, "out.debug"))
	require.NoError(t, err)
	for _, name := range []string{"out", "stripped"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		for reads := 0; ; reads++ {
			remaining := reads
			table, err := Read(&failsLater{bytes.NewReader(content), &remaining}, ReadOptions{Path: "/out", Open: func(p string) (File, error) {
				if strings.Contains(p, ".build-id") {
					return nil, os.ErrNotExist
				}
				return noFile{&failsLater{bytes.NewReader(debug), &remaining}}, nil
			}})
			if err == nil {
				require.Greater(t, reads, 5)
				requireNames(t, table, nm(t, file))
				break
			}
			require.ErrorIs(t, err, io.ErrClosedPipe)
			require.NotErrorIs(t, err, ErrFormat)
			require.NotErrorIs(t, err, ErrNoSymbols)
		}
	}
}

// failsLater is a reader that fails after left reads.
type failsLater struct {
	io.ReaderAt
	left *int
}

func (f *failsLater) ReadAt(p []byte, off int64) (int, error) {
	*f.left--
	if *f.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return f.ReaderAt.ReadAt(p, off)
}

func TestDebugLinkName(t *testing.T) {
	f := func(content, want, wrong string) {
		t.Helper()
		im := &image{
			r: strings.NewReader(content), names: []byte(".gnu_debuglink\x00"),
			sections: []elf.Section64{{Type: uint32(elf.SHT_PROGBITS), Size: uint64(len(content))}},
		}
		name, sum, err := im.debugLink()
		require.Equal(t, want, name)
		if wrong != "" {
			require.ErrorIs(t, err, ErrFormat)
			require.ErrorContains(t, err, wrong)
			return
		}
		require.NoError(t, err)
		require.EqualValues(t, 0x04030201, sum)
	}
	f("abc\x00\x01\x02\x03\x04", "abc", "")
	f("a.debug\x00\x01\x02\x03\x04", "a.debug", "")
	f("ab.debug\x00\x00\x00\x00\x01\x02\x03\x04", "ab.debug", "")
	f("../../etc/shadow\x00\x00\x00\x00\x01\x02\x03\x04", "", `"../../etc/shadow" is not the name of a file`)
	f("..\x00\x00\x01\x02\x03\x04", "", `".." is not the name of a file`)
	f("\x00\x00\x00\x00\x01\x02\x03\x04", "", "no name and checksum in 8 bytes")
	f("abc\x00\x01\x02\x03", "", "no name and checksum in 7 bytes")
	f("abc", "", "no name and checksum in 3 bytes")
}
