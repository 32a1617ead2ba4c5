package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/invar-otel/invar/tests/process"
)

// Process is a running program that ends with the test. Its methods are for the
// test's goroutine.
type Process struct {
	// MetricsURL is where an Invar exposes its own metrics.
	MetricsURL string

	t              testing.TB
	process        *process.Process
	stdout, stderr process.Output
}

// start runs cmd until the test ends, and logs what it printed if the test fails.
func start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{t: t}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	var err error
	if p.process, err = process.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop()
		if t.Failed() {
			t.Logf("%s printed:\n%s%s", p.process.Name(), lastLines(p.stdout.String()), lastLines(p.stderr.String()))
		}
	})
	return p
}

// lastLines returns the last 100 lines of a text.
func lastLines(text string) string {
	const keep = 100
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > keep {
		lines = append([]string{"…\n"}, lines[len(lines)-keep:]...)
	}
	return strings.Join(lines, "")
}

// PID returns the process ID.
func (p *Process) PID() int { return p.process.PID() }

// Stdout returns what the process has printed to its standard output so far.
func (p *Process) Stdout() string { return p.stdout.String() }

// Stderr returns what the process has printed to its standard error so far.
func (p *Process) Stderr() string { return p.stderr.String() }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	if err := p.process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// Wait waits for the process to end by itself and returns its error, an
// *exec.ExitError for a status other than zero. It fails the test after timeout.
func (p *Process) Wait(timeout time.Duration) error {
	p.t.Helper()
	err := p.process.Wait(timeout)
	if errors.Is(err, process.ErrStillRunning) {
		p.t.Fatal(err)
	}
	return err
}

// Stop ends the process with SIGTERM and returns its error. A process that
// has not ended in time is killed, which is an error.
func (p *Process) Stop() error { return p.process.Stop() }

// ended returns an error if the process is gone.
func (p *Process) ended() error {
	select {
	case <-p.process.Done():
		return fmt.Errorf("%s ended: %w\n%s", p.process.Name(), p.process.Err(), lastLines(p.stderr.String()))
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
