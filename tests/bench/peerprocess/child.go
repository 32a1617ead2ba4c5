// Package peerprocess runs what a benchmark measures and reads its figures from
// /proc.
package peerprocess

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a peer's process. It does not outlive this one.
type Child struct {
	// Done is closed when it has ended.
	Done chan struct{}

	cmd    *exec.Cmd
	output tail
}

// Start runs cmd in a folder.
func Start(cmd *exec.Cmd, dir string) (*Child, error) {
	c := &Child{cmd: cmd, Done: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &c.output, &c.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(c.Done)
		_ = cmd.Wait() // ProcessState says it
	}()
	return c, nil
}

// stopTimeout is how long a peer may take to end after SIGTERM.
const stopTimeout = 15 * time.Second

// Stop asks the process to end, and kills it if it does not.
func (c *Child) Stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.Done:
	case <-time.After(stopTimeout):
		_ = c.cmd.Process.Kill()
		<-c.Done
	}
}

// Ended returns an error with the process' last words once it is gone.
func (c *Child) Ended() error {
	return fmt.Errorf("ended early (%s): %s", c.cmd.ProcessState, c.output.String())
}

// tail keeps the last bytes that were written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// userHZ is the unit of times in /proc/<pid>/stat, the same on all of Linux'
// 64-bit architectures that Go runs on.
const userHZ = 100

// CPU returns the user and system time of all threads so far.
func (c *Child) CPU() (time.Duration, error) {
	stat, err := c.proc("stat")
	if err != nil {
		return 0, err
	}
	// Field 2, the name, may contain anything; 14 and 15 are utime and stime.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const utime, stime = 14 - 3, 15 - 3
	if len(fields) <= stime {
		return 0, fmt.Errorf("read stat of process %d: %d fields", c.cmd.Process.Pid, len(fields))
	}
	var ticks int64
	for _, i := range []int{utime, stime} {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / userHZ), nil
}

// RSS returns the resident set in bytes.
func (c *Child) RSS() (int64, error) {
	kib, err := c.figure("status", "VmRSS")
	return kib << 10, err
}

// Written returns the bytes given to write(2), to files and sockets.
func (c *Child) Written() (int64, error) { return c.figure("io", "wchar") }

func (c *Child) proc(file string) ([]byte, error) {
	return os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.cmd.Process.Pid, file))
}

// Output is the last of what it printed.
func (c *Child) Output() string { return c.output.String() }

// figure reads a line like "VmRSS:  123 kB".
func (c *Child) figure(file, name string) (int64, error) {
	text, err := c.proc(file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if key, value, _ := strings.Cut(string(line), ":"); key == name {
			number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
			return strconv.ParseInt(number, 10, 64)
		}
	}
	return 0, fmt.Errorf("read %s of process %d: no %s", file, c.cmd.Process.Pid, name)
}

// Growth adds up how much the files of a folder grow. Deleting old ones does
// not take from it, and neither block sizes nor write-back add to it; what a
// peer overwrites in place it does not see.
type Growth struct {
	Total int64 // by how much files grew
	Now   int64 // size of all files

	sizes map[string]int64
}

// Look takes the sizes of all files below dir.
func (g *Growth) Look(dir string) error {
	sizes := make(map[string]int64, len(g.sizes))
	g.Now = 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		size := info.Size()
		sizes[path] = size
		g.Now += size
		g.Total += max(0, size-g.sizes[path])
		return nil
	})
	g.sizes = sizes
	return err
}
