//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/invar-otel/invar/tests/bench/report"
)

// loadRun is a load, with or without the profiler.
type loadRun struct {
	name     string // of the load
	title    string
	start    load
	profiled bool
}

func (b *bench) loadRuns() ([]loadRun, error) {
	all := []loadRun{
		{"mix", "mix, profiler off", startMix, false},
		{"mix", "mix", startMix, true},
		{"executables", fmt.Sprintf("%d executables", b.executables), startExecutables, true},
		{"large", fmt.Sprintf("%d of %d functions", b.executables, b.functions), startLarge, true},
		{"short", "short", startShort, true},
	}
	var chosen []loadRun
	for name := range strings.SplitSeq(b.loads, ",") {
		before := len(chosen)
		for _, r := range all {
			if r.name == name {
				chosen = append(chosen, r)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("loads: %q is none of mix, executables, large, short", name)
		}
	}
	return chosen, nil
}

// measureLoads runs the part load.
func measureLoads(ctx context.Context, b *bench) error {
	runs, err := b.loadRuns()
	if err != nil {
		return err
	}
	var rows [][]string
	for _, r := range runs {
		row, err := b.measureLoad(ctx, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.title, err)
		}
		rows = append(rows, row)
		fmt.Fprintln(os.Stderr, strings.Join(row, " | ")) // all of them take a while
	}
	report.Table(os.Stdout, b.markdown, []string{
		"load", "CPU, % of a core", "eBPF, % of a core", "samples/s", "unnamed, %",
		"RSS avg MiB", "RSS peak MiB", "anonymous avg MiB", "anonymous peak MiB", "BPF maps MiB", "others, % of a core",
	}, rows)
	fmt.Println()
	return nil
}

func (b *bench) measureLoad(ctx context.Context, r loadRun) (row []string, err error) {
	dir, err := b.newDir()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }() // large ones have hundreds of MB
	victims, err := r.start(ctx, b, dir)
	defer victims.stop()
	if err != nil {
		return nil, err
	}
	var interval time.Duration
	if r.profiled {
		interval = b.interval
	}
	c, err := b.collector(ctx, interval)
	if err != nil {
		return nil, err
	}
	defer c.Stop()
	if err := c.wait(ctx, b.warmup); err != nil {
		return nil, err
	}
	figures, err := b.windowsOf(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := victims.ended(); err != nil {
		return nil, err
	}
	if b.profile != "" {
		name := strings.NewReplacer(" ", "-", ",", "").Replace(r.title)
		if err := c.saveProfiles(ctx, b.profile, name, b.window); err != nil {
			return nil, err
		}
	}
	row = figures.row(r.title)
	return row, nil
}

// wait waits while the collector runs.
func (c *collector) wait(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	err := waitFor(ctx, c.Child, func() bool { return false })
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// figures are the results of several windows.
type figures struct {
	cpu, bpf, samples, others []float64 // for each window
	unnamed                   float64   // share of all frames
	memory                    memoryFigures
	mapBytes                  int64
}

const mib = 1 << 20

func (f figures) row(title string) []string {
	row := []string{title, spread("%.2f", f.cpu)}
	if slices.Max(f.samples) > 0 {
		row = append(row, spread("%.2f", f.bpf), spread("%.0f", f.samples), fmt.Sprintf("%.2f", 100*f.unnamed))
	} else {
		row = append(row, "", "", "")
	}
	for _, bytes := range []float64{f.memory.average, f.memory.peak, f.memory.averageAnonymous, f.memory.peakAnonymous, float64(f.mapBytes)} {
		row = append(row, fmt.Sprintf("%.0f", bytes/mib))
	}
	return append(row, spread("%.0f", f.others))
}

// windowsOf measures a collector in windows.
func (b *bench) windowsOf(ctx context.Context, c *collector) (f figures, err error) {
	c.memory.beginAverage()
	first := b.received.now()
	for range b.windows {
		from, err := b.reading(c)
		if err != nil {
			return f, err
		}
		if err := c.wait(ctx, b.window); err != nil {
			return f, err
		}
		to, err := b.reading(c)
		if err != nil {
			return f, err
		}
		seconds := to.at.Sub(from.at).Seconds()
		f.cpu = append(f.cpu, 100*(to.cpu-from.cpu).Seconds()/seconds)
		f.bpf = append(f.bpf, 100*(to.bpf.time-from.bpf.time).Seconds()/seconds)
		f.others = append(f.others, 100*(to.others-from.others).Seconds()/seconds)
		f.samples = append(f.samples, float64(to.counts.samples-from.counts.samples)/seconds)
		f.mapBytes = to.bpf.mapBytes
	}
	all := b.received.now().since(first)
	f.unnamed = float64(all.unnamed) / float64(max(1, all.frames))
	f.memory = c.memory.figures()
	return f, nil
}

// reading has the values of all counters at one time.
type reading struct {
	at     time.Time
	cpu    time.Duration
	others time.Duration
	bpf    bpf
	counts counts
}

func (b *bench) reading(c *collector) (r reading, err error) {
	r.at, r.counts = time.Now(), b.received.now()
	if r.cpu, err = c.CPU(); err != nil {
		return r, err
	}
	host, err := hostCPU()
	if err != nil {
		return r, err
	}
	own, err := ownCPU()
	if err != nil {
		return r, err
	}
	r.others = host - own - r.cpu
	r.bpf, err = readBPF(c.pid)
	return r, err
}
