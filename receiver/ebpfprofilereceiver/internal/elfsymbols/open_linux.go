package elfsymbols

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// OpenIn returns a function that opens files by their absolute path as a process
// with the given root sees them, /proc/<pid>/root for one that runs: a link leads
// to where it leads for the process, and never out of the root. What is no
// regular file is an error, and never waited for. It needs Linux 5.6.
func OpenIn(root string) func(path string) (File, error) {
	return func(path string) (File, error) {
		// The path is that of the process, but /proc/<pid>/root is a link itself.
		dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: root, Err: err}
		}
		defer unix.Close(dir) //nolint:errcheck // it was not written
		full := filepath.Join(root, path)
		// Only once it is known to be a regular file it is opened for reading:
		// opening a pipe waits for its writer, and some devices act on it.
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
			return nil, err // not a nil *os.File as a File
		}
		return f, nil
	}
}
