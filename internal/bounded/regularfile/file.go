// Package regularfile reads files in folders that other users may write to. If a
// pipe takes the place of a file, opening it blocks until another process writes.
// A device has no end, and opening some devices has side effects.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRegular is wrapped by the error for a path of a folder, a pipe, a socket
// or a device.
var ErrNotRegular = errors.New("is not a regular file")

// Open opens a file for reading. It follows symbolic links and does not block.
// Errors are *fs.PathError, and wrap [ErrNotRegular] for anything that is not a
// regular file.
func Open(path string) (*os.File, error) {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening it may block or have side effects
		return nil, notRegular(path)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() { // replaced after Stat
		err = notRegular(path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func notRegular(path string) error {
	return &fs.PathError{Op: "open", Path: path, Err: ErrNotRegular}
}

// Read returns the content of a file. It returns an error if that is more than
// limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readAll(file, path, limit)
}

func readAll(r io.Reader, path string, limit int64) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(content)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}
