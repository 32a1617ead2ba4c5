//go:build unix

package fleet

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Special files in the folder block nothing, and affect their own pipeline only.
func TestSpecialFiles(t *testing.T) {
	b := open(t, map[string]string{"a": body("1"), "good": body("1")})
	b.settings.PollInterval = 10 * time.Millisecond
	b.close()
	b.reopen()
	path := func(name string) string { return filepath.Join(b.settings.Folder, name) }
	require.NoError(t, os.Remove(path("a.yaml")))
	require.NoError(t, syscall.Mkfifo(path("a.yaml"), 0o600))
	require.NoError(t, syscall.Mkfifo(path("pipe.yaml"), 0o600))
	require.NoError(t, os.Mkdir(path("folder.yaml"), 0o700))
	require.NoError(t, os.Symlink("/dev/zero", path("zero.yaml")))
	require.NoError(t, os.Symlink(path("pipe.yaml"), path("link.yaml")))
	require.NoError(t, os.Symlink(path("nothing"), path("none.yaml")))
	socket, err := net.Listen("unix", path("s.yaml"))
	require.NoError(t, err)
	defer socket.Close()

	f := func() {
		t.Helper()
		for _, name := range []string{"a", "pipe", "folder", "zero", "link", "s"} {
			require.Eventually(t, func() bool {
				p, err := b.Pipeline(name)
				return err == nil && p.Error != ""
			}, time.Minute, time.Millisecond, name)
			require.Contains(t, b.pipeline(name).Error, "is not a regular file", name)
		}
		require.Empty(t, b.pipeline("good").Error)
		_, err := b.Pipeline("none")
		require.ErrorIs(t, err, ErrNotFound)
	}
	f()
	require.Equal(t, "1", b.collector("c").runs("a"), "the earlier revision stays in force")
	b.publish("good", body("2"))
	b.close()
	b.reopen()
	f()
	b.publish("a", body("3")) // the file takes its place
	require.Empty(t, b.pipeline("a").Error)
	info, err := os.Lstat(path("a.yaml"))
	require.NoError(t, err)
	require.True(t, info.Mode().IsRegular())
	b.close()
}

func TestStateThatIsNoFile(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	require.NoError(t, syscall.Mkfifo(state, 0o600))
	_, err := Open(Settings{Folder: t.TempDir(), StateFile: state})
	require.EqualError(t, err, "state "+state+": is not a regular file")
}
