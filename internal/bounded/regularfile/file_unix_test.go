//go:build unix

package regularfile

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRead(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.WriteFile(path("file"), []byte("content"), 0o600))
	require.NoError(t, os.Symlink(path("file"), path("link")))
	require.NoError(t, os.Mkdir(path("folder"), 0o700))
	require.NoError(t, syscall.Mkfifo(path("pipe"), 0o600))
	require.NoError(t, os.Symlink(path("pipe"), path("link to a pipe")))
	require.NoError(t, os.Symlink("/dev/zero", path("link to a device")))
	require.NoError(t, os.Symlink(path("none"), path("link to nothing")))
	socket, err := net.Listen("unix", path("socket"))
	require.NoError(t, err)
	defer socket.Close()

	for _, name := range []string{"file", "link"} {
		content, err := Read(path(name), 7)
		require.NoError(t, err)
		require.Equal(t, "content", string(content))
		_, err = Read(path(name), 6)
		require.EqualError(t, err, path(name)+" has more than 6 bytes")
	}
	for _, name := range []string{"folder", "pipe", "socket", "link to a pipe", "link to a device"} {
		_, err := Read(path(name), 7)
		require.ErrorIs(t, err, ErrNotRegular, name)
		require.EqualError(t, err, "open "+path(name)+": is not a regular file")
	}
	for _, name := range []string{"none", "link to nothing"} {
		_, err := Read(path(name), 7)
		require.ErrorIs(t, err, os.ErrNotExist, name)
	}
}
