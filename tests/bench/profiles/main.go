//go:build linux

// Command profiles measures the cost of profiling a host with the ebpf_profile receiver
// and the pyroscope exporter, and how soon a new process appears in profiles. Everything
// but the collector and the load runs in this process.
//
//	go run -C tests ./bench/profiles -markdown
//	go run -C tests ./bench/profiles -markdown -parts load -loads mix -windows 10
//	go run -C tests ./bench/profiles -parts load -loads executables -profile /tmp/profiles
//
// It has three parts, which -parts selects.
//
// load: a load keeps all cores busy at the priority SCHED_IDLE, and the collector
// runs for -warmup and is measured in -windows windows of length -window. Figures like
// a/b/c are the minimum, the median and the maximum of the windows. The loads:
//
//   - mix: one program each in Go, C with frame pointers, C without, and Python,
//     with the profiler off, where the collector only waits for OTLP, and on.
//   - executables: -executables different small programs at once.
//   - large: as many programs with -functions functions each.
//   - short: two loops that start one program after the other, which run for 20 ms.
//
// Its columns:
//
//   - CPU: user and system time of the collector, in percent of one core.
//   - eBPF: time in its eBPF programs, in percent of one core. The kernel counts it
//     as time of the programs that are sampled, not of the collector.
//   - samples/s: arrived samples per second.
//   - unnamed: share of frames without a function name in all samples.
//   - RSS: VmRSS, sampled ten times a second, its peak since the start, and its
//     anonymous part. The rest are pages of files, which the kernel can reclaim. BPF
//     maps are kernel memory and not included.
//   - others: CPU time of everything but the collector, this process and the code of
//     the load, in percent of one core. If it is high, the machine was not quiet and
//     the profiler also sampled other programs.
//
// start: the time from the start of a new executable until one of its functions
// has arrived by name, with an interval of one second. It includes the rest of the
// interval; "after the period" is the time without it.
//
// victims: iterations of programs in C and Python, each alone on a core, alternately with
// and without the profiler, per second of CPU time and per second.
//
// It needs root, gcc, python3 and bin/invar (make build).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/bench/report"
	"github.com/invar-otel/invar/tests/memlock"
)

type options struct {
	parts, loads           string
	warmup, window         time.Duration
	windows                int
	interval               time.Duration
	rate                   int
	executables, functions int
	starts                 int
	rounds                 int
	victim                 time.Duration
	binary, profile        string
	markdown               bool
}

func main() {
	memlock.Become()
	var o options
	flag.StringVar(&o.parts, "parts", "load,start,victims", "what to measure")
	flag.StringVar(&o.loads, "loads", "mix,executables,large,short", "the loads of the part load")
	flag.DurationVar(&o.warmup, "warmup", 30*time.Second, "how long a load runs before it is measured")
	flag.DurationVar(&o.window, "window", time.Minute, "how long it is measured at a time")
	flag.IntVar(&o.windows, "windows", 3, "how often it is measured")
	flag.DurationVar(&o.interval, "interval", 15*time.Second, "the receiver's interval in the part load")
	flag.IntVar(&o.rate, "rate", 97, "samples a second and CPU")
	flag.IntVar(&o.executables, "executables", 500, "how many different executables run at once")
	flag.IntVar(&o.functions, "functions", 4000, "functions of each in the load large")
	flag.IntVar(&o.starts, "starts", 15, "how often a program is started in the part start")
	flag.IntVar(&o.rounds, "rounds", 7, "how often victims run with and without the profiler")
	flag.DurationVar(&o.victim, "victim", 10*time.Second, "how long they run each time")
	flag.StringVar(&o.binary, "binary", "../bin/invar", "the collector")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU and heap profiles of the collector, taken after each load's measurement")
	flag.BoolVar(&o.markdown, "markdown", false, "print tables in Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "profiles:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	parts := map[string]func(context.Context, *bench) error{"load": measureLoads, "start": measureStarts, "victims": measureVictims}
	chosen := strings.Split(o.parts, ",")
	for _, name := range chosen {
		if parts[name] == nil {
			return fmt.Errorf("parts: %q is none of load, start, victims", name)
		}
	}
	if o.windows < 1 || o.starts < 1 || o.rounds < 1 || o.executables < 1 || o.functions < 1 {
		return fmt.Errorf("windows, starts, rounds, executables and functions must be at least 1")
	}
	dir, err := os.MkdirTemp("", "profiles")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := newBench(o, dir)
	if err != nil {
		return err
	}
	defer b.close()
	for _, name := range chosen {
		if err := parts[name](ctx, b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fmt.Printf("%s\n`profiles %s`\n", report.Machine(), strings.Join(os.Args[1:], " "))
	return nil
}

// spread formats the minimum, the median and the maximum of figures.
func spread(format string, figures []float64) string {
	sorted := slices.Sorted(slices.Values(figures))
	return fmt.Sprintf(format+" / "+format+" / "+format, sorted[0], sorted[len(sorted)/2], sorted[len(sorted)-1])
}
