// Command coldbuild measures what CI's steps take in a fresh clone with empty
// caches: wall time, CPU time, and the memory of the largest process. It measures
// the last commit. Modules must have been downloaded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/bench/report"
)

func main() {
	root := flag.String("root", ".", "folder of the repository")
	timeout := flag.Duration("timeout", 2*time.Hour, "limit of all steps together")
	targets := flag.String("steps", strings.Join(defaultSteps, ","), "make targets, run in this order with one build cache")
	flag.Parse()
	if err := measure(*timeout, *root, strings.Split(*targets, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "coldbuild:", err)
		os.Exit(1)
	}
}

func measure(timeout time.Duration, root string, targets []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return run(ctx, os.Stdout, root, targets)
}

// defaultSteps are what make check does. What a user waits for first comes first:
// make run is the first step and the start of the program.
var defaultSteps = []string{"build", "fleet", "generate-check", "unit", "servers", "lint-e2e"}

// run measures the steps and prints a table, one row as soon as its step ends. Steps
// that fail are in the table too; run goes on and returns their errors.
func run(ctx context.Context, out io.Writer, root string, targets []string) (err error) {
	c, err := newClone(ctx, root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.remove()) }()

	_, _ = fmt.Fprintf(out, "%s\n\n| step | wall | CPU | largest process |\n|---|---:|---:|---:|\n", report.Machine())
	var errs []error
	var total usage
	for _, target := range targets {
		u, err := c.runMake(ctx, target)
		if err != nil {
			errs = append(errs, err)
		}
		total.add(u)
		u.print(out, "`make "+target+"`")
		if ctx.Err() != nil {
			break
		}
	}
	total.print(out, "all of them")
	return errors.Join(errs...)
}
