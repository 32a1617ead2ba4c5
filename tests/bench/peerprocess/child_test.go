package peerprocess

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestGrowth(t *testing.T) {
	dir := t.TempDir()
	var g Growth
	f := func(total, now int64) {
		t.Helper()
		require.NoError(t, g.Look(dir))
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

func TestChild(t *testing.T) {
	// A process that spends CPU time and writes, and does not stop by itself.
	c, err := Start(exec.Command("sh", "-c", "echo begun; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 60"), t.TempDir())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		cpu, err := c.CPU()
		return err == nil && cpu > 0
	}, 10*time.Second, 10*time.Millisecond)
	rss, err := c.RSS()
	require.NoError(t, err)
	require.Greater(t, rss, int64(100<<10))
	written, err := c.Written()
	require.NoError(t, err)
	require.GreaterOrEqual(t, written, int64(len("begun\n")))
	c.Stop()
	require.Equal(t, "begun\n", c.Output())
	require.ErrorContains(t, c.Ended(), "ended early (signal: terminated): begun")
	_, err = c.RSS()
	require.Error(t, err)
}

func TestTail(t *testing.T) {
	var out tail
	for range 3 {
		_, _ = out.Write([]byte(strings.Repeat("a", tailBytes-1) + "b"))
	}
	require.Equal(t, strings.Repeat("a", tailBytes-1)+"b", out.String())
}
