//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/pprof/profile"

	"github.com/invar-otel/invar/tests/bench/report"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

const (
	// startInterval is the shortest interval that the receiver accepts.
	startInterval = time.Second
	startTimeout  = time.Minute
)

// measureStarts runs the part start.
func measureStarts(ctx context.Context, b *bench) error {
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	original := filepath.Join(dir, "burn")
	if err := compile(ctx, original, filepath.Join(burnDir, "c", "burn.c")); err != nil {
		return err
	}
	c, err := b.collector(ctx, startInterval)
	if err != nil {
		return err
	}
	defer c.Stop()
	if err := c.wait(ctx, 5*startInterval); err != nil { // the first samples are of the whole host
		return err
	}
	var total, after []float64
	for i := range b.starts {
		// At a random time of the interval.
		if err := c.wait(ctx, rand.N(startInterval)); err != nil {
			return err
		}
		path := fmt.Sprintf("%s-%04d", original, i)
		if err := copyExecutable(original, path, i); err != nil {
			return err
		}
		t, err := b.timeStart(ctx, path)
		if err != nil {
			return err
		}
		total, after = append(total, float64(t.total.Milliseconds())), append(after, float64(t.afterPeriod.Milliseconds()))
	}
	report.Table(os.Stdout, b.markdown, []string{"from the start of a process to a named frame", "ms"}, [][]string{
		{fmt.Sprintf("all, with what is left of %s", startInterval), spread("%.0f", total)},
		{"after the period", spread("%.0f", after)},
	})
	fmt.Println()
	return nil
}

// startTime is the time until the first name has arrived.
type startTime struct {
	total       time.Duration
	afterPeriod time.Duration // from the end of the profile's period
}

// timeStart runs a program until one of its functions has arrived by name.
func (b *bench) timeStart(ctx context.Context, path string) (startTime, error) {
	first := make(chan pyroscopesink.Profile, 1)
	b.received.setWatch(func(p pyroscopesink.Profile) {
		if p.Labels["service_name"] == filepath.Base(path) && hasFunction(p.Pprof, "spin_square") {
			select {
			case first <- p:
			default: // it is not the first
			}
		}
	})
	defer b.received.setWatch(nil)
	var p programs
	defer func() { p.stop() }()
	started := time.Now()
	if err := p.start(filepath.Dir(path), path); err != nil {
		return startTime{}, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("no frame of %s has arrived with a name", filepath.Base(path)))
	defer cancel()
	select {
	case got := <-first:
		return startTime{
			total:       got.At.Sub(started),
			afterPeriod: got.At.Sub(time.Unix(0, got.Pprof.TimeNanos+got.Pprof.DurationNanos)),
		}, nil
	case <-ctx.Done():
		return startTime{}, context.Cause(ctx)
	}
}

func hasFunction(p *profile.Profile, name string) bool {
	return slices.ContainsFunc(p.Function, func(f *profile.Function) bool { return f.Name == name })
}
