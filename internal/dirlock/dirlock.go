// Package dirlock locks directories, so that each has one user at a time on this
// machine.
package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

// LockedError is returned if another user has locked a directory.
type LockedError struct {
	Dir    string
	Owner  string // who wants it
	Holder string // who has it
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s wants the directory %s, which %s uses; give each its own", e.Owner, e.Dir, e.Holder)
}

const (
	lockName = "lock"

	// Holder takes the lock for a moment to find out whether it is free, so Lock
	// retries.
	lockRetries = 5
	lockPause   = 10 * time.Millisecond
)

// Lock locks the directory, which it creates if need be, until the returned file is
// closed or the process ends. owner is a name to show to people. Lock returns a
// *LockedError if the directory is locked, by this process or by another one on
// this machine.
func Lock(dir, owner string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the directory: %w", err)
	}
	err = lockFile(f)
	for range lockRetries {
		if !errors.Is(err, errLocked) {
			break
		}
		time.Sleep(lockPause) // it may be a call of Holder
		err = lockFile(f)
	}
	if err != nil {
		defer f.Close()
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil, &LockedError{Dir: dir, Owner: owner, Holder: holderName(f)}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s (process %d)\n", owner, os.Getpid())
	}
	if err != nil && !isNoSpace(err) { // the lock works without the name
		return nil, errors.Join(fmt.Errorf("write %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// Holder returns the name of the user that has locked the directory, or an empty
// string if nobody has.
func Holder(dir string) (string, error) {
	f, err := regularfile.Open(filepath.Join(dir, lockName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("inspect the lock: %w", err)
	}
	defer f.Close() // which unlocks it
	switch err := lockFileShared(f); {
	case errors.Is(err, errLocked):
		return holderName(f), nil
	case err != nil:
		return "", fmt.Errorf("inspect the lock %s: %w", f.Name(), err)
	}
	return "", nil
}

// holderName returns the name in a lock file.
func holderName(f *os.File) string {
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0) // a lock without a name is still a lock
	if name := strings.TrimSpace(string(b[:n])); name != "" {
		return name
	}
	return "another process"
}
