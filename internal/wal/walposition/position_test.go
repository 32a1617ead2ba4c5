package walposition

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/wal/seglog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSaveAndOpen(t *testing.T) {
	dir := t.TempDir()
	for n := range uint64(5) {
		f, pos, err := Open(dir)
		require.NoError(t, err)
		require.Equal(t, seglog.Position{Segment: n, Offset: int64(n) * 10}, pos)
		require.NoError(t, f.Save(seglog.Position{Segment: 99}))
		require.NoError(t, f.Save(seglog.Position{Segment: n + 1, Offset: int64(n+1) * 10}))
		require.NoError(t, f.Close())
	}
	pos, ok, err := Read(dir)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, seglog.Position{Segment: 5, Offset: 50}, pos)
}

// The file has its full size from the start, so Save works on a full disk.
func TestOpenReservesTheFile(t *testing.T) {
	for _, size := range []int64{-1, 0, 1, slotSize, slotStride, fileSize - 1, fileSize, 4096} {
		dir := t.TempDir()
		name := filepath.Join(dir, fileName)
		saved := seglog.Position{Segment: 2, Offset: 5}
		if size >= 0 {
			b := append(make([]byte, 0, 4096), make([]byte, slotStride)...)
			b = append(b, encode(saved, 1)...)
			b = append(b, make([]byte, 4096-len(b))...)
			require.NoError(t, os.WriteFile(name, b[:size], 0o600))
		}
		f, pos, err := Open(dir)
		require.NoError(t, err)
		if size >= fileSize {
			require.Equal(t, saved, pos)
		} else {
			require.Zero(t, pos)
		}
		require.Equal(t, size > slotStride && size < fileSize, f.Damaged, "size %d", size)
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.GreaterOrEqual(t, info.Size(), int64(fileSize))
		require.NoError(t, f.Save(seglog.Position{Segment: 3}))
		require.NoError(t, f.Close())
		pos, _, err = Read(dir)
		require.NoError(t, err)
		require.Equal(t, seglog.Position{Segment: 3}, pos)
	}
}

// A Save that fails never touches the slot with the newest position.
func TestFailedSaveKeepsThePosition(t *testing.T) {
	dir := t.TempDir()
	f, _, err := Open(dir)
	require.NoError(t, err)
	kept := seglog.Position{Segment: 1, Offset: 2}
	require.NoError(t, f.Save(kept))
	whole := f.f
	f.f, err = os.Open(filepath.Join(dir, fileName)) // cannot be written
	require.NoError(t, err)
	require.Error(t, f.Save(seglog.Position{Segment: 9}))
	require.NoError(t, f.Close())
	f.f = whole
	require.NoError(t, f.Save(seglog.Position{Segment: 3}))
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	require.NoError(t, err)
	pos, _ := decode(b[slotStride:])
	require.Equal(t, kept, pos, "the slot that was newest before")
	require.NoError(t, f.Close())
}

func TestReadChangesNothing(t *testing.T) {
	dir := t.TempDir()
	pos, ok, err := Read(dir)
	require.NoError(t, err)
	require.False(t, ok)
	require.Zero(t, pos)
	require.NoFileExists(t, filepath.Join(dir, fileName))
}

// TestFormat pins the bytes: files of earlier versions must stay readable.
func TestFormat(t *testing.T) {
	require.Equal(t,
		"49504f53"+"01000000"+"0300000000000000"+"0700000000000000"+"0010000000000000"+"19f6ff30",
		hex.EncodeToString(encode(seglog.Position{Segment: 7, Offset: 4096}, 3)))
}

// TestTornWrite damages and truncates the newer slot at every byte. The older
// position remains.
func TestTornWrite(t *testing.T) {
	older, newer := seglog.Position{Segment: 1, Offset: 2}, seglog.Position{Segment: 3, Offset: 4}
	for at := range slotSize {
		dir := t.TempDir()
		f, _, err := Open(dir)
		require.NoError(t, err)
		require.NoError(t, f.Save(newer)) // slot 1
		require.NoError(t, f.Save(older)) // slot 0
		require.NoError(t, f.Save(newer))
		require.NoError(t, f.Close())

		name := filepath.Join(dir, fileName)
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		b[slotStride+at] ^= 0x40
		require.NoError(t, os.WriteFile(name, b, 0o600))
		pos, ok, err := Read(dir)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, older, pos, "byte %d", at)

		require.NoError(t, os.Truncate(name, int64(slotStride+at)))
		pos, _, err = Read(dir)
		require.NoError(t, err)
		require.Equal(t, older, pos, "cut at %d", at)
	}
}

func TestUnusableFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, fileName), 0o700))
	_, _, err := Open(dir)
	require.ErrorContains(t, err, "open the position")
	_, _, err = Read(dir)
	require.ErrorContains(t, err, "is not a regular file")
}

func FuzzDecode(f *testing.F) {
	one := encode(seglog.Position{Segment: 7, Offset: 4096}, 3)
	f.Add([]byte{})
	f.Add(one)
	f.Add(append(append(one, make([]byte, slotStride-slotSize)...), encode(seglog.Position{Segment: 8}, 4)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		pos, counter := decode(b)
		if counter == 0 {
			require.Zero(t, pos)
			return
		}
		require.GreaterOrEqual(t, pos.Offset, int64(0))
		decoded, c := decode(encode(pos, counter))
		require.Equal(t, pos, decoded)
		require.Equal(t, counter, c)
	})
}
