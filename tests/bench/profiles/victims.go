//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/invar-otel/invar/tests/bench/report"
)

// victim is a program that runs for the number of seconds in its last argument, and
// prints the number of finished iterations and its CPU time in nanoseconds.
type victim struct {
	name string
	core int
	args []string
}

// rates are the iteration rates of a victim.
type rates struct{ perCPUSecond, perSecond float64 }

// settle is how long the collector runs before the victims start.
const settle = 5 * time.Second

// measureVictims runs the part victims.
func measureVictims(ctx context.Context, b *bench) error {
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	inC := filepath.Join(dir, "victim")
	if err := compile(ctx, inC, "bench/profiles/testdata/victim.c"); err != nil {
		return err
	}
	python, err := interpreter(ctx)
	if err != nil {
		return err
	}
	victims := []victim{
		{name: "C", core: 0, args: []string{inC}},
		{name: "Python", core: 1, args: []string{python, "bench/profiles/testdata/victim.py"}},
	}
	loss := make([]struct{ perCPUSecond, perSecond, without []float64 }, len(victims))
	for range b.rounds {
		without, err := b.round(ctx, victims, 0)
		if err != nil {
			return err
		}
		with, err := b.round(ctx, victims, b.interval)
		if err != nil {
			return err
		}
		for i := range victims {
			l := &loss[i]
			l.perCPUSecond = append(l.perCPUSecond, 100*(1-with[i].perCPUSecond/without[i].perCPUSecond))
			l.perSecond = append(l.perSecond, 100*(1-with[i].perSecond/without[i].perSecond))
			l.without = append(l.without, without[i].perCPUSecond)
		}
	}
	var rows [][]string
	for i, v := range victims {
		rows = append(rows, []string{
			v.name, spread("%.0f", loss[i].without), spread("%.2f", loss[i].perCPUSecond), spread("%.2f", loss[i].perSecond),
		})
	}
	report.Table(os.Stdout, b.markdown, []string{
		"victim", "iterations per CPU second without", "less per CPU second, %", "less per second, %",
	}, rows)
	fmt.Println()
	return nil
}

// round runs the victims beside a collector, which runs without the profiler if interval
// is 0.
func (b *bench) round(ctx context.Context, victims []victim, interval time.Duration) ([]rates, error) {
	c, err := b.collector(ctx, interval)
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	if err := c.wait(ctx, settle); err != nil {
		return nil, err
	}
	all, errs := make([]rates, len(victims)), make([]error, len(victims))
	var beside sync.WaitGroup
	for i, v := range victims {
		beside.Go(func() { all[i], errs[i] = v.run(ctx, b.victim) })
	}
	beside.Wait()
	return all, errors.Join(errs...)
}

// run runs a victim on its core.
func (v victim) run(ctx context.Context, d time.Duration) (rates, error) {
	cmd := exec.CommandContext(ctx, v.args[0], append(v.args[1:], strconv.FormatFloat(d.Seconds(), 'f', -1, 64))...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return rates{}, err
	}
	var core unix.CPUSet
	core.Set(v.core)
	if err := errors.Join(unix.SchedSetaffinity(cmd.Process.Pid, &core), cmd.Wait()); err != nil {
		return rates{}, fmt.Errorf("%s: %w", v.name, err)
	}
	var iterations, cpu float64
	if _, err := fmt.Sscan(out.String(), &iterations, &cpu); err != nil {
		return rates{}, fmt.Errorf("%s printed %q: %w", v.name, out.String(), err)
	}
	return rates{
		perCPUSecond: iterations / (cpu / float64(time.Second)),
		perSecond:    iterations / d.Seconds(),
	}, nil
}
