// Command metricspath measures what it costs to scrape targets and send the
// samples on by remote write: invar beside its peers, one after another, on the
// same load. Everything but the peer runs in this process.
//
//	go run -C tests ./bench/metricspath -markdown
//	go run -C tests ./bench/metricspath -peers invar -targets 500 -interval 15s
//	go run -C tests ./bench/metricspath -peers invar -profile /tmp/profiles
//	go run -C tests ./bench/metricspath -outage 10m
//
// The table is over -duration, which begins -warmup after the peer's start and
// should be a multiple of -interval. Samples are those that arrived, and the
// columns:
//
//   - CPU: user and system time of the process for a million samples.
//   - RSS: VmRSS, looked at twice a second.
//   - wire: compressed request bodies.
//   - disk: by how much files in the peer's folder grew, for each sample
//     scraped. Block-level figures would depend on write-back.
//   - write(2): all that was given to that call less the request bodies, which
//     pass through it too: also what was overwritten in place.
//   - sent/scraped: below 1 the peer is behind or loses samples. Scraped are
//     the series of each served scrape and the peer's own report series;
//     upstream's exporter adds target_info to them. Upstream's WAL sends once a
//     minute: for it, -duration should be a multiple of that.
//
// With -outage the endpoint refuses everything for that long after the warmup,
// and the report is about invar's memory, log and way back. The load for it is
// the default one, 20,000 samples/s.
//
// It needs Linux, bin/invar and bin/servers/prometheus (make build servers).
// VMAGENT=<path> supplies vmagent, which is not built here. The prometheus in
// bin has no service discovery but static and file; this makes it smaller on
// disk and in memory than the released one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/bench/report"
)

type options struct {
	targets, series            int
	interval, warmup, duration time.Duration
	peers                      string
	markdown                   bool
	outage                     time.Duration
	away                       string
	profile                    string
	bin                        string
}

func main() {
	var o options
	flag.IntVar(&o.targets, "targets", 100, "how many targets there are")
	flag.IntVar(&o.series, "series", 2000, "how many series each has")
	flag.DurationVar(&o.interval, "interval", 10*time.Second, "the scrape interval and timeout")
	flag.DurationVar(&o.warmup, "warmup", time.Minute, "how long a peer runs before it is measured")
	flag.DurationVar(&o.duration, "duration", 2*time.Minute, "how long it is measured")
	flag.StringVar(&o.peers, "peers", "invar,prometheus-agent,otel-batch,otel-wal,vmagent", "whom to measure")
	flag.BoolVar(&o.markdown, "markdown", false, "print the table in Markdown")
	flag.DurationVar(&o.outage, "outage", 0, "measure invar through an outage of the endpoint this long, instead")
	flag.StringVar(&o.away, "away", away503, "what an outage is: "+away503+" answers, or a "+awayClosed+" port")
	flag.StringVar(&o.profile, "profile", "", "folder for CPU and heap profiles of invar, taken after its measurement")
	flag.StringVar(&o.bin, "bin", "../bin", "folder with the binaries")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "metricspath:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	b, err := newBench(o)
	if err != nil {
		return err
	}
	if o.outage > 0 {
		if o.interval < minOutageInterval {
			return fmt.Errorf("interval: %s is too short to count what an outage lost; use at least %s", o.interval, minOutageInterval)
		}
		return b.measureOutage(ctx)
	}
	chosen, err := choosePeers(o.peers)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range chosen {
		fmt.Fprintf(os.Stderr, "%s: %s\n", p.name, o.warmup+o.duration)
		row, err := b.measure(ctx, p)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, new(errNotSupplied)):
			row = []string{p.name, "not supplied"}
		case err != nil:
			fmt.Fprintf(os.Stderr, "%s: %v\n", p.name, err)
			row = []string{p.name, "failed"}
		}
		rows = append(rows, row)
	}
	report.Table(os.Stdout, o.markdown, header, rows)
	fmt.Printf("\n%s\n`metricspath %s`\n", report.Machine(), strings.Join(os.Args[1:], " "))
	return nil
}

// bench is what all peers share.
type bench struct {
	options
	generator *generator
	address   string // of the targets
}

// newBench serves the targets for as long as the process lives.
func newBench(o options) (*bench, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, generator: newGenerator(o.targets, o.series), address: l.Addr().String()}
	go func() { _ = http.Serve(l, b.generator) }()
	return b, nil
}
