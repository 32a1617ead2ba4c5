//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
)

// programs run until they are stopped.
type programs []*peerprocess.Child

// loadNice has no effect on scheduling under SCHED_IDLE. It makes the kernel account the
// load as niced programs.
const loadNice = 19

// start runs another program. Programs of a load only run on idle cores, because hundreds
// would delay the collector and this process at any niceness.
func (p *programs) start(dir, path string, args ...string) error {
	cmd := exec.Command(path, args...)
	child, err := peerprocess.Start(cmd, dir)
	if err != nil {
		return err
	}
	*p = append(*p, child)
	pid := cmd.Process.Pid
	idle := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	return errors.Join(unix.Setpriority(unix.PRIO_PROCESS, pid, loadNice), unix.SchedSetAttr(pid, &idle, 0))
}

func (p programs) stop() {
	var all sync.WaitGroup
	for _, child := range p {
		all.Go(child.Stop)
	}
	all.Wait()
}

// ended returns an error if a program has ended.
func (p programs) ended() error {
	var errs []error
	for _, child := range p {
		select {
		case <-child.Done():
			errs = append(errs, child.Ended())
		default:
		}
	}
	return errors.Join(errs...)
}

// burnDir is the folder of programs that burn CPU, relative to the tests' module.
const burnDir = "e2e/testdata/burn"

// A load starts programs. It creates their executables in dir.
type load func(ctx context.Context, b *bench, dir string) (programs, error)

// startMix runs programs of several languages.
func startMix(ctx context.Context, _ *bench, dir string) (programs, error) {
	inC := filepath.Join(burnDir, "c", "burn.c")
	withFP, withoutFP, inGo := filepath.Join(dir, "burn-fp"), filepath.Join(dir, "burn-nofp"), filepath.Join(dir, "burn-go")
	python, err := interpreter(ctx)
	if err != nil {
		return nil, err
	}
	script, err := filepath.Abs(filepath.Join(burnDir, "python", "burn.py"))
	if err != nil {
		return nil, err
	}
	for _, args := range [][]string{
		{"gcc", "-O2", "-fno-omit-frame-pointer", "-o", withFP, inC},
		{"gcc", "-O2", "-fomit-frame-pointer", "-o", withoutFP, inC},
		{"go", "build", "-o", inGo, "./" + filepath.Join(burnDir, "go")},
	} {
		if err := command(ctx, args...); err != nil {
			return nil, err
		}
	}
	var p programs
	err = errors.Join(p.start(dir, withFP), p.start(dir, withoutFP), p.start(dir, inGo), p.start(dir, python, script))
	return p, err
}

// interpreter returns the path of Python itself. The file in PATH may be a script.
func interpreter(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
}

func command(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// startExecutables runs many small programs, each from a different executable.
func startExecutables(ctx context.Context, b *bench, dir string) (programs, error) {
	original := filepath.Join(dir, "burn")
	if err := compile(ctx, original, filepath.Join(burnDir, "c", "burn.c")); err != nil {
		return nil, err
	}
	return startCopies(original, b.executables)
}

// startLarge runs many programs with many functions.
func startLarge(ctx context.Context, b *bench, dir string) (programs, error) {
	original, source := filepath.Join(dir, "large"), filepath.Join(dir, "large.c")
	if err := os.WriteFile(source, []byte(manyFunctions(b.functions)), 0o600); err != nil {
		return nil, err
	}
	if err := compile(ctx, original, source); err != nil {
		return nil, err
	}
	return startCopies(original, b.executables)
}

func startCopies(original string, n int) (programs, error) {
	var p programs
	for i := range n {
		path := fmt.Sprintf("%s-%04d", original, i)
		if err := copyExecutable(original, path, i); err != nil {
			return p, err
		}
		if err := p.start(filepath.Dir(path), path); err != nil {
			return p, err
		}
	}
	return p, nil
}

// startShort runs short programs, one after the other.
func startShort(ctx context.Context, _ *bench, dir string) (programs, error) {
	burst := filepath.Join(dir, "burst")
	if err := compile(ctx, burst, filepath.Join(burnDir, "c", "burst.c")); err != nil {
		return nil, err
	}
	const loop = `while :; do "$0" 20; done`
	var p programs
	err := errors.Join(p.start(dir, "/bin/sh", "-c", loop, burst), p.start(dir, "/bin/sh", "-c", loop, burst))
	return p, err
}
