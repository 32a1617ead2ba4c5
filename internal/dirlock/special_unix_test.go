//go:build unix

package dirlock

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

// Holder does not block on a pipe in the place of the lock file.
func TestPipe(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, lockName), 0o600))
	_, err := Holder(dir)
	require.ErrorIs(t, err, regularfile.ErrNotRegular)
}
