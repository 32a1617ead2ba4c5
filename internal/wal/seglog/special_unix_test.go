//go:build unix

package seglog

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pipe in the place of a segment does not block a reader, which loses only the
// records of that segment.
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
	rest, damage, missing := readAll(t, dir, l.End())
	require.Greater(t, len(rest), 40)
	require.Less(t, len(rest), 60)
	require.Equal(t, record(59), rest[len(rest)-1])
	require.Empty(t, damage)
	require.Len(t, missing, 2)
}
