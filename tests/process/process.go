// Package process runs programs for tests and benchmarks: it starts them, bounds
// every wait for their end, keeps what they print and reads what they use from
// /proc.
package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// StopTimeout is how long a process may take to end after SIGTERM.
const StopTimeout = 15 * time.Second

// Process is a running program. It does not outlive the program that started it.
// All methods may be called concurrently.
type Process struct {
	cmd  *exec.Cmd
	name string
	done chan struct{}
	err  error // of Wait; read after done
}

// Start runs cmd. To keep what the program prints, set cmd.Stdout and cmd.Stderr to
// an Output.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, name: filepath.Base(cmd.Args[0]), done: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	return p, nil
}

// Name returns the program's file name.
func (p *Process) Name() string { return p.name }

// PID returns the process ID.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// State returns the exit state. It must not be called before Done is closed.
func (p *Process) State() *os.ProcessState { return p.cmd.ProcessState }

// Err returns the error of a process that has ended, an *exec.ExitError for a
// status other than zero. It must not be called before Done is closed.
func (p *Process) Err() error { return p.err }

// Signal sends a signal to the process.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Wait waits for the process to end by itself and returns its error, as Err does.
// It returns ErrStillRunning after timeout.
func (p *Process) Wait(timeout time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(timeout):
		return fmt.Errorf("%s %w after %s", p.name, ErrStillRunning, timeout)
	}
}

// ErrStillRunning is returned by Wait if the process has not ended in time.
var ErrStillRunning = errors.New("still runs")

// Stop ends the process with SIGTERM and returns its error, as Err does. A process
// that has not ended in time is killed, which is an error.
func (p *Process) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(StopTimeout):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("%s did not stop within %s of SIGTERM", p.name, StopTimeout)
	}
}
