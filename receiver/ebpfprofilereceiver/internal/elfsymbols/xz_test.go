package elfsymbols

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// xzed compresses content with the xz program.
func xzed(tb testing.TB, content []byte, args ...string) []byte {
	tb.Helper()
	dir := tb.TempDir()
	require.NoError(tb, os.WriteFile(filepath.Join(dir, "f"), content, 0o600))
	run(tb, dir, "xz", append(args, "f")...)
	packed, err := os.ReadFile(filepath.Join(dir, "f.xz"))
	require.NoError(tb, err)
	return packed
}

func TestUnxz(t *testing.T) {
	content := bytes.Repeat([]byte("some text, more or less regular; "), 3000)
	for i := range content {
		content[i] += byte(i / 1000)
	}
	for _, args := range [][]string{nil, {"-0"}, {"-9e"}, {"--check=none"}, {"--check=crc32"}, {"--check=sha256"}, {"--block-size=10000"}, {"-T2", "--block-size=20000"}} {
		packed := xzed(t, content, args...)
		plain, err := unxz(packed, len(content))
		require.NoError(t, err, "%v", args)
		require.True(t, bytes.Equal(content, plain), "%v", args)

		_, err = unxz(packed, len(content)-1)
		require.ErrorIs(t, err, ErrFormat)
		require.ErrorContains(t, err, "too large unpacked")
		for size := 0; size < len(packed); size += 1 + len(packed)/15 {
			if _, err := unxz(packed[:size], len(content)); err == nil {
				require.Greater(t, size, len(packed)-200, "only the index may be truncated")
			}
		}
	}
	empty, err := unxz(xzed(t, nil), 0)
	require.NoError(t, err)
	require.Empty(t, empty)
	_, err = unxz(xzed(t, content, "--x86", "--lzma2"), len(content))
	require.ErrorContains(t, err, "only one filter is supported")

	packed := xzed(t, content)
	packed[len(packed)/2] ^= 1
	_, err = unxz(packed, len(content))
	require.ErrorIs(t, err, ErrFormat)
}

// A dictionary of 4 GiB is not allocated.
func TestUnxzHugeDictionary(t *testing.T) {
	packed := xzed(t, []byte("a few bytes"))
	header := packed[xzHeaderSize : xzHeaderSize+(int(packed[xzHeaderSize])+1)*4]
	i := bytes.Index(header, []byte{xzLZMA2, 1})
	require.Positive(t, i)
	header[i+2] = 40 // 4 GiB
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	plain, err := unxz(packed, 1<<20)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Equal(t, "a few bytes", string(plain))
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(8<<20))
}
