// Package dirlock makes sure that a directory has one user at a time.
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

// LockedError says who holds a directory.
type LockedError struct {
	Dir, Owner, Holder string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s wants the directory %s, which %s uses; give each its own", e.Owner, e.Dir, e.Holder)
}

const (
	lockName = "lock"

	// Holder takes the lock for a moment to see whether it is free, so Lock
	// tries more than once.
	lookTries = 5
	lookPause = 10 * time.Millisecond
)

// Lock takes the directory for owner, a name for people, until the file
// returned is closed or the process ends. It returns a *LockedError if another
// has it, in this process or elsewhere on this machine.
func Lock(dir, owner string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the directory: %w", err)
	}
	err = lockFile(f)
	for range lookTries {
		if !errors.Is(err, errHeld) {
			break
		}
		time.Sleep(lookPause) // it may only be a Holder that looks
		err = lockFile(f)
	}
	if err != nil {
		defer f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		return nil, &LockedError{Dir: dir, Owner: owner, Holder: holderName(f)}
	}
	err = f.Truncate(0)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s (process %d)\n", owner, os.Getpid())
	}
	if err != nil && !isNoSpace(err) { // the name is only for people
		return nil, errors.Join(fmt.Errorf("write %s: %w", f.Name(), err), f.Close())
	}
	return f, nil
}

// Holder returns the name of who has locked the directory, empty if nobody has.
func Holder(dir string) (string, error) {
	f, err := regularfile.Open(filepath.Join(dir, lockName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look at the lock: %w", err)
	}
	defer f.Close() // which unlocks it
	switch err := lockFileShared(f); {
	case errors.Is(err, errHeld):
		return holderName(f), nil
	case err != nil:
		return "", fmt.Errorf("look at the lock %s: %w", f.Name(), err)
	}
	return "", nil
}

// holderName is what the holder wrote into its lock.
func holderName(f *os.File) string {
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0) // without a name it is still locked
	if name := strings.TrimSpace(string(b[:n])); name != "" {
		return name
	}
	return "another process"
}
