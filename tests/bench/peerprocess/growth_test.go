package peerprocess

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGrowth(t *testing.T) {
	dir := t.TempDir()
	var g Growth
	f := func(total, now int64) {
		t.Helper()
		require.NoError(t, g.Update(dir))
		require.Equal(t, []int64{total, now}, []int64{g.Total, g.Now})
	}
	write := func(name string, size int) {
		t.Helper()
		require.NoError(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("x"), size), 0o600))
	}
	f(0, 0)
	write("wal/1", 100)
	f(100, 100)
	write("wal/1", 150)
	write("wal/2", 10)
	f(160, 160)
	require.NoError(t, os.Remove(filepath.Join(dir, "wal/1")))
	f(160, 10)
	write("wal/2", 5) // truncated, and written again
	f(160, 5)
	write("wal/2", 7)
	f(162, 7)
}
