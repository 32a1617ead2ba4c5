package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/process"
)

// clone is a fresh clone of the repository with build caches of its own.
type clone struct {
	scratch string // folder with all of it
}

// newClone clones the last commit of the repository at root.
func newClone(ctx context.Context, root string) (*clone, error) {
	scratch, err := os.MkdirTemp("", "coldbuild")
	if err != nil {
		return nil, err
	}
	c := &clone{scratch: scratch}
	output, err := exec.CommandContext(ctx, "git", "clone", "--quiet", root, c.dir()).CombinedOutput()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("clone %s: %w: %s", root, err, output), c.remove())
	}
	return c, nil
}

func (c *clone) dir() string { return filepath.Join(c.scratch, "clone") }

// remove deletes the clone and the caches.
func (c *clone) remove() error { return os.RemoveAll(c.scratch) }

// stopTimeout is how long make may take to end after a signal.
const stopTimeout = 30 * time.Second

// outputLimit bounds what is kept of a step's output, in bytes.
const outputLimit = 10_000

// runMake makes a target. The usage is valid even if there is an error, which has the
// last output.
func (c *clone) runMake(ctx context.Context, target string) (usage, error) {
	output := &process.Output{Limit: outputLimit}
	cmd := exec.CommandContext(ctx, "make", target)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir(), output, output
	cmd.Env = append(os.Environ(),
		"GOCACHE="+filepath.Join(c.scratch, "gocache"),
		"GOLANGCI_LINT_CACHE="+filepath.Join(c.scratch, "lintcache"))
	// The signal goes to make and all that it has started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout

	begin := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(begin)}
	if state := cmd.ProcessState; state != nil {
		u.cpu = state.UserTime() + state.SystemTime()
		if rusage, ok := state.SysUsage().(*syscall.Rusage); ok {
			u.memory = rusage.Maxrss << 10
		}
	}
	if err != nil {
		err = fmt.Errorf("make %s: %w: %s", target, err, output)
	}
	return u, err
}
