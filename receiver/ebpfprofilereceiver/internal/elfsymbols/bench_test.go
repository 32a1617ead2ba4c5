package elfsymbols

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// bigBinaries returns those programs with many functions that are installed.
func bigBinaries(b *testing.B) map[string]string {
	b.Helper()
	files := make(map[string]string)
	if file, err := exec.LookPath("go"); err == nil {
		files["go"] = file
	}
	for name, pattern := range map[string]string{
		"libLLVM":   "/usr/lib/*/libLLVM*.so*",
		"libpython": "/usr/lib/*/libpython3*.so*",
		"librustc":  os.Getenv("HOME") + "/.rustup/toolchains/stable*/lib/librustc_driver*.so",
		"libc":      strings.TrimSpace(run(b, "", "gcc", "-print-file-name=libc.so.6")),
	} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			files[name] = found[0]
		}
	}
	return files
}

// BenchmarkRead reports MB/s of the whole file; symbols are only a part of it.
func BenchmarkRead(b *testing.B) {
	for name, file := range bigBinaries(b) {
		b.Run(name, func(b *testing.B) {
			f, err := os.Open(file)
			require.NoError(b, err)
			defer f.Close()
			info, err := f.Stat()
			require.NoError(b, err)
			b.SetBytes(info.Size())
			b.ReportAllocs()
			var table *Table
			for b.Loop() {
				table, err = Read(f, ReadOptions{MaxTable: 512 << 20})
				require.NoError(b, err)
			}
			b.ReportMetric(float64(table.Len()), "functions")
			b.ReportMetric(float64(table.Size())/float64(table.Len()), "B/function")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(table.Len()), "ns/function")
		})
	}
}

func benchmarkTable(b *testing.B) (*Table, []uint64) {
	b.Helper()
	file, err := exec.LookPath("go")
	require.NoError(b, err)
	table := readFile(b, file, ReadOptions{})
	random := rand.New(rand.NewPCG(1, 2))
	addrs := make([]uint64, 4096)
	for i := range addrs {
		k := random.IntN(table.Len())
		addrs[i] = table.base + uint64(table.starts[k]) + random.Uint64N(uint64(table.sizes[k]))
	}
	return table, addrs
}

func BenchmarkLookup(b *testing.B) {
	table, addrs := benchmarkTable(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		table.Lookup(addrs[i%len(addrs)])
		i++
	}
}

// BenchmarkCacheNames looks up 64 addresses of a cached file.
func BenchmarkCacheNames(b *testing.B) {
	file, err := exec.LookPath("go")
	require.NoError(b, err)
	content, err := os.ReadFile(file)
	require.NoError(b, err)
	_, addrs := benchmarkTable(b)
	c := NewCache(64<<20, DemangleSimplified)
	open := func() (Object, error) { return Object{File: noFile{bytes.NewReader(content)}}, nil }
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		at := i % len(addrs)
		_, err := c.Names("go", addrs[at:at+64], open)
		require.NoError(b, err)
		i += 64
	}
}

func BenchmarkDemangle(b *testing.B) {
	for name, mangled := range map[string]string{
		"C++":  "_ZN4shop4CartINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEE3putERKS6_",
		"Rust": "_ZN50_$LT$main..Dog$LT$T$GT$$u20$as$u20$main..Speak$GT$5speak17h0123456789abcdefE",
		"C":    "malloc",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				DemangleSimplified.Name(mangled)
			}
		})
	}
}
