package elfsymbols

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// smallPrograms returns ELF files of a few kilobytes: from testELF, and linked without a C
// library.
func smallPrograms(f *testing.F) [][]byte {
	f.Helper()
	files := [][]byte{
		testELF{}.bytes(),
		testELF{symbols: []testSymbol{
			{"f", 0, 0x20, function0}, {"inner", 8, 4, local0}, {"open", 0x40, 0, weak0}, {"label", 0x50, 0, label0}, {"f@@V1", 0, 0x20, function0},
		}}.bytes(),
	}
	out := build(f, "gcc", []string{"-O1", "-nostdlib", "-shared", "-fPIC", "-Wl,--build-id=sha1"},
		map[string]string{"a.c": "int one(void) { return 1; } static int two(void) { return 2; } int (*three)(void) = two;"})
	dir := filepath.Dir(out)
	run(f, dir, "objcopy", "--only-keep-debug", "out", "out.debug")
	run(f, dir, "strip", "-o", "stripped", "out")
	run(f, dir, "xz", "-k", "out.debug")
	run(f, dir, "objcopy", "--add-section=.gnu_debugdata=out.debug.xz", "--add-gnu-debuglink=out.debug", "stripped", "mini")
	for _, name := range []string{"out", "stripped", "out.debug", "mini"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(f, err)
		files = append(files, content)
	}
	return files
}

// noFile is a File whose Close does nothing.
type noFile struct{ io.ReaderAt }

func (noFile) Close() error { return nil }

// No file leads to a panic, overlapping ranges or more memory than allowed.
func FuzzRead(f *testing.F) {
	for _, content := range smallPrograms(f) {
		f.Add(content, uint16(0), uint64(0x1000))
		f.Add(content, uint16(100), uint64(0x1004))
	}
	f.Fuzz(func(t *testing.T, content []byte, maxTable uint16, wanted uint64) {
		opts := ReadOptions{Path: "/a/b", MaxTable: int(maxTable), Wanted: []uint64{wanted, wanted + 16}, Open: func(string) (File, error) {
			return noFile{bytes.NewReader(content)}, nil
		}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		table, err := Read(bytes.NewReader(content), opts)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(400<<20))
		if err != nil {
			return
		}
		var end uint64
		for i, size := range table.sizes {
			start := table.base
			if table.wide != nil {
				start = table.wide[i]
			} else {
				start += uint64(table.starts[i])
			}
			require.GreaterOrEqual(t, start, end)
			require.NotZero(t, size)
			end = start + uint64(size)
			name, ok := table.Lookup(start)
			require.True(t, ok)
			require.NotEmpty(t, name)
			require.LessOrEqual(t, len(name), maxName)
		}
		table.Lookup(wanted)
	})
}

func FuzzUnxz(f *testing.F) {
	for _, args := range [][]string{nil, {"--check=none"}, {"--block-size=1000"}} {
		f.Add(xzed(f, []byte(strings.Repeat("some text ", 500)), args...))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		// The checksums are corrected so that the fuzzer gets past them.
		plain, err := unxz(packed, 1<<20)
		if err == nil {
			require.LessOrEqual(t, len(plain), 1<<20)
		}
	})
}

func FuzzDemangle(f *testing.F) {
	for _, name := range []string{
		"_ZNSt6vectorIiSaIiEE9push_backERKi", "_RINvNtC3std3mem8align_ofjE", "_ZTv0_n24_N4shop4CartIiED1Ev", "___Z3foo_block_invoke", "_GLOBAL__I_foo",
		"_ZN50_$LT$main..Dog$LT$T$GT$$u20$as$u20$main..Speak$GT$5speak17h0123456789abcdefE",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, d := range []Demangle{DemangleNone, DemangleSimplified, DemangleFull} {
			if shown := d.Name(name); shown != name {
				require.LessOrEqual(t, len(shown), 1<<maxShown)
			}
		}
	})
}
