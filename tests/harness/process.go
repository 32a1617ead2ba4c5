package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// stopTimeout is how long a process may take to end after SIGTERM.
const stopTimeout = 15 * time.Second

// Process is a running program. Its methods are for the test's goroutine.
type Process struct {
	// MetricsURL is where an Invar exposes its own metrics.
	MetricsURL string

	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	done   chan struct{}
	err    error // of Wait; read after done
}

// output collects what a process prints.
type output struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.data.String()
}

// start runs cmd until the test ends.
func start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{
		t: t, name: filepath.Base(cmd.Args[0]), cmd: cmd,
		stdout: &output{}, stderr: &output{}, done: make(chan struct{}),
	}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = p.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s%s", p.name, tail(p.stdout.String()), tail(p.stderr.String()))
		}
	})
	return p
}

// tail keeps the last 100 lines.
func tail(text string) string {
	const keep = 100
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > keep {
		lines = append([]string{"…\n"}, lines[len(lines)-keep:]...)
	}
	return strings.Join(lines, "")
}

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdout returns what the process has printed so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the process has printed to its standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// Wait waits for the process to end by itself and returns its error, an
// *exec.ExitError for a non-zero status. It fails the test after timeout.
func (p *Process) Wait(timeout time.Duration) error {
	p.t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(timeout):
		p.t.Fatalf("%s still runs after %s", p.name, timeout)
		return nil
	}
}

// Stop ends the process with SIGTERM and returns its error. A process that
// has not ended in time is killed, which is an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %s of SIGTERM", p.name, stopTimeout)
	}
}

// ended reports an error if the process is gone.
func (p *Process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s ended: %w\n%s", p.name, p.err, tail(p.stderr.String()))
	default:
		return nil
	}
}

// Root returns the repository's root folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "builder-config.yaml")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no builder-config.yaml above the test")
		}
		dir = parent
	}
}

// Binary returns the path of a built binary below bin.
func Binary(t testing.TB, name string) string {
	t.Helper()
	path := filepath.Join(Root(t), "bin", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing; run `make build servers` first", path)
	}
	return path
}
