package dirlock

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "wal")
	f, err := Lock(dir, "exporter a")
	require.NoError(t, err)
	_, err = Lock(dir, "exporter b")
	var locked *LockedError
	require.ErrorAs(t, err, &locked)
	require.ErrorContains(t, err, "exporter b wants the directory")
	require.ErrorContains(t, err, fmt.Sprintf("exporter a (process %d)", os.Getpid()))
	require.NoError(t, f.Close())
	f, err = Lock(dir, "exporter b")
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
