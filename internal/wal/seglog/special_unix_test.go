//go:build unix

package seglog

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pipe in the place of a file of the log blocks nobody, and costs what that file
// had.
func TestPipesInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir, 300)
	fill(t, l, 0, 50)
	all, _, _ := readAll(t, dir, l.End())
	require.Len(t, all, 50)
	require.NoError(t, l.Close())
	segments, err := List(dir)
	require.NoError(t, err)
	for _, i := range []int{1, len(segments) - 1} {
		path := segmentPath(dir, segments[i].Number)
		require.NoError(t, os.Remove(path))
		require.NoError(t, syscall.Mkfifo(path, 0o600))
	}
	l = openLog(t, dir, 300)
	fill(t, l, 50, 60)
	some, damage, missing := readAll(t, dir, l.End())
	require.Greater(t, len(some), 40)
	require.Less(t, len(some), 60)
	require.Equal(t, record(59), some[len(some)-1])
	require.Empty(t, damage)
	require.Len(t, missing, 2)
}
