// Command fleet measures the fleet server and how fast a configuration reaches a
// collector.
//
//	go run -C tests ./bench/fleet -markdown
//	go run -C tests ./bench/fleet -markdown -parts load -collectors 5000
//
// Its parts:
//
//   - publish: one real collector that asks every 10 s. A new revision is
//     published at a random moment of that interval, -publishes times. The time
//     is from the answer to the publication until the server knows that it is
//     applied. The collector's probation takes -probation of it; the collector
//     reports as soon as the probation is over.
//   - load: -collectors simulated collectors that ask every 10 s, spread evenly,
//     for -duration, with -pipelines pipelines. Each pipeline matches a tenth of the
//     collectors. After half of the time a new revision of every pipeline is
//     published. The latency is that of GetConfig, measured by the client. The bytes
//     are those of requests and responses, without headers.
//
// It needs Linux, bin/invar and bin/invar-fleet (make build).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/bench/report"
)

// pollInterval is how often a collector polls, the shortest interval that
// remote_config accepts.
const pollInterval = 10 * time.Second

type options struct {
	collector, fleet string
	parts            string
	publishes        int
	probation        time.Duration
	collectors       int
	pipelines        int
	duration         time.Duration
	markdown         bool
}

func main() {
	var o options
	flag.StringVar(&o.collector, "binary", "../bin/invar", "the collector")
	flag.StringVar(&o.fleet, "fleet", "../bin/invar-fleet", "the fleet server")
	flag.StringVar(&o.parts, "parts", "publish,load", "what to measure, separated by commas")
	flag.IntVar(&o.publishes, "publishes", 20, "revisions to publish")
	flag.DurationVar(&o.probation, "probation", time.Second, "the collector's probation")
	flag.IntVar(&o.collectors, "collectors", 1000, "simulated collectors")
	flag.IntVar(&o.pipelines, "pipelines", 50, "pipelines that are served")
	flag.DurationVar(&o.duration, "duration", 2*time.Minute, "for how long the load lasts")
	flag.BoolVar(&o.markdown, "markdown", false, "print tables in Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fleet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	for _, path := range []*string{&o.collector, &o.fleet} {
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	known := map[string]func(context.Context, options, string) error{"publish": publish, "load": load}
	for name := range strings.SplitSeq(o.parts, ",") {
		part := known[name]
		if part == nil {
			return fmt.Errorf("-parts: %q is not a part; use publish, load or both", name)
		}
		dir, err := os.MkdirTemp("", "fleetbench")
		if err != nil {
			return err
		}
		err = part(ctx, o, dir)
		_ = os.RemoveAll(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	fmt.Printf("\n%s\n`fleet %s`\n", report.Machine(), strings.Join(os.Args[1:], " "))
	return nil
}
