package elfsymbols

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Only regular files within the root are opened.
func TestOpenIn(t *testing.T) {
	outside, root := t.TempDir(), t.TempDir()
	write := func(p, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(p), 0o700))
		require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	}
	write(filepath.Join(outside, "secret"), "not this one")
	write(filepath.Join(root, "a/file"), "inside")
	write(filepath.Join(root, outside, "secret"), "same path, but inside")
	require.NoError(t, os.Symlink("/a/file", filepath.Join(root, "absolute")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "away")))
	require.NoError(t, os.Symlink("../../../../../../a/file", filepath.Join(root, "a/up")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(root, "pipe"), 0o600))
	link := filepath.Join(t.TempDir(), "root")
	require.NoError(t, os.Symlink(root, link))

	f := func(root, path, want string) {
		t.Helper()
		file, err := OpenIn(root)(path)
		if want == "" {
			require.Error(t, err)
			require.Nil(t, file)
			return
		}
		require.NoError(t, err)
		defer file.Close()
		content := make([]byte, len(want))
		_, err = file.ReadAt(content, 0)
		require.NoError(t, err)
		require.Equal(t, want, string(content))
	}
	f(root, "/a/file", "inside")
	f(link, "/a/file", "inside")
	f(root, "/absolute", "inside")
	f(root, "/a/up", "inside")
	f(root, "/away", "same path, but inside")
	f(root, "/../../../a/file", "inside")
	f(root, "/pipe", "")
	f(root, "/a", "")
	f(root, "/none", "")
	f(filepath.Join(root, "none"), "/a/file", "")
	f("/proc/self/root", filepath.Join(outside, "secret"), "not this one")
}
