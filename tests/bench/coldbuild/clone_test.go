package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newRepository returns a repository with one commit that has a Makefile.
func newRepository(t *testing.T, makefile string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "Makefile"), []byte(makefile), 0o600))
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "Makefile"},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "-m", "Add a Makefile"},
	} {
		output, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		require.NoError(t, err, string(output))
	}
	return dir
}

func TestSteps(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	root := newRepository(t, `
.PHONY: spend cached fails
spend:
	i=0; while [ $$i -lt 500000 ]; do i=$$((i+1)); done
	mkdir $(GOCACHE) && touch $(GOCACHE)/built
cached:
	test -f $(GOCACHE)/built
fails:
	echo reason; exit 3
`)
	var out strings.Builder
	err := run(t.Context(), &out, root, []string{"spend", "cached", "fails", "cached"})
	require.ErrorContains(t, err, "make fails: ")
	require.ErrorContains(t, err, "reason\n")
	require.NotContains(t, err.Error(), "make cached", "the steps share a cache")
	require.Regexp(t, `\| .make spend. \| 0\.\d min \| 0\.\d min \| 0\.\d GiB \|
\| .make cached. .*
\| .make fails. .*
\| .make cached. .*
\| all of them \| .*
$`, out.String())
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestUsage(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c, err := newClone(t.Context(), newRepository(t, "spend:\n\ti=0; while [ $$i -lt 500000 ]; do i=$$((i+1)); done\n"))
	require.NoError(t, err)
	u, err := c.runMake(t.Context(), "spend")
	require.NoError(t, err)
	require.Greater(t, u.cpu, 50*time.Millisecond)
	require.Greater(t, u.wall, 50*time.Millisecond)
	require.Greater(t, u.memory, int64(100<<10))
	require.NoError(t, c.remove())
}

// A step that takes too long is ended with all that it has started.
func TestTimeout(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	root := newRepository(t, "sleep:\n\tsleep 60 & wait\n")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var out strings.Builder
	begin := time.Now()
	require.ErrorContains(t, run(ctx, &out, root, []string{"sleep", "sleep"}), "make sleep: ")
	require.Less(t, time.Since(begin), stopTimeout)
	require.Equal(t, 1, strings.Count(out.String(), "make sleep"), "no step begins after the end")
}
