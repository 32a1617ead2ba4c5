package elfsymbols

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenIn returns a function that opens files by absolute path as a process with the given
// root sees them; for a running process the root is /proc/<pid>/root. Symbolic links are
// resolved within the root. Anything but a regular file is an error, and opening never
// blocks. It needs Linux 5.6.
func OpenIn(root string) func(path string) (File, error) {
	return func(path string) (File, error) {
		// root itself may be a link, as /proc/<pid>/root is, so it is opened first.
		dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: root, Err: err}
		}
		defer unix.Close(dir) //nolint:errcheck // it was not written
		full := filepath.Join(root, path)
		// The file is opened for reading only once it is known to be a regular file:
		// opening a pipe blocks, and opening some devices has side effects.
		fd, err := unix.Openat2(dir, path, &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: full, Err: err}
		}
		found := os.NewFile(uintptr(fd), full)
		defer found.Close()
		info, err := found.Stat()
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file: %s", full, info.Mode())
		}
		f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			return nil, err // not f: a nil *os.File is not a nil File
		}
		return f, nil
	}
}
