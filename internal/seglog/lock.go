package seglog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const lockName = "lock"

// LockedError says who holds a directory.
type LockedError struct {
	Dir, Owner, Holder string
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s wants the directory %s, which %s uses; give each its own", e.Owner, e.Dir, e.Holder)
}

// Lock takes the directory for owner, a name for people, until the file
// returned is closed or the process ends. It returns a *LockedError if another
// has it, in this process or elsewhere on this machine.
func Lock(dir, owner string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the log's directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the log's directory: %w", err)
	}
	if err := lockFile(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		holder, _ := os.ReadFile(f.Name())
		name := strings.TrimSpace(string(holder))
		if name == "" {
			name = "another process"
		}
		return nil, &LockedError{Dir: dir, Owner: owner, Holder: name}
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
