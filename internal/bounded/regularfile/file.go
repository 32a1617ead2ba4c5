// Package regularfile reads files of folders that others may write to. A pipe in
// the place of a file blocks whoever opens it until somebody writes, a device has
// no end, and some devices act when they are opened.
package regularfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRegular is of a path that leads to something else than a file: a folder,
// a pipe, a socket or a device.
var ErrNotRegular = errors.New("is not a regular file")

// Open opens a file for reading. Symbolic links are followed. It does not block.
// Errors are *fs.PathError; errors.Is(err, ErrNotRegular) tells of anything else
// than a file.
func Open(path string) (*os.File, error) {
	path = filepath.Clean(path)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // and is not opened
		return nil, notRegular(path)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return nil, err
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() { // it was replaced
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

// Read returns the content of a file of at most limit bytes. It is an error if
// there is more.
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
