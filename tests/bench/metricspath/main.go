// Command metricspath measures the cost of scraping targets and forwarding the samples by
// remote write: invar and its peers, one after the other, under the same load. Everything
// but the peer runs in this process.
//
//	go run -C tests ./bench/metricspath -markdown
//	go run -C tests ./bench/metricspath -peers invar -targets 500 -interval 15s
//	go run -C tests ./bench/metricspath -peers invar -profile /tmp/profiles
//	go run -C tests ./bench/metricspath -outage 10m
//
// The table covers -duration, which begins -warmup after the start of the peer and should
// be a multiple of -interval. Samples are those that arrived. The columns:
//
//   - CPU: user and system time of the process for a million samples.
//   - RSS: VmRSS, sampled twice a second.
//   - wire: compressed request bodies.
//   - disk: growth of the files in the peer's folder per scraped sample.
//     Block-level figures would depend on write-back.
//   - write(2): all bytes passed to that call, including data overwritten in place,
//     without the request bodies, which pass through it as well.
//   - sent/scraped: below 1 the peer is behind or loses samples. Scraped samples are
//     the series of each served scrape and the peer's own report series. Upstream's
//     exporter adds target_info to them. Upstream's WAL sends once a minute, so
//     -duration should be a multiple of a minute for it.
//
// With -outage the endpoint refuses all requests for that time after the warmup, and the
// report is about the memory, log and recovery of invar. Its load is the default load,
// 20,000 samples/s.
//
// It needs Linux, bin/invar and bin/servers/prometheus (make build servers).
// VMAGENT=<path> names a vmagent, which is not built here. The prometheus in bin has only
// static, file and HTTP service discovery, which makes it smaller on disk and in memory
// than the released one.
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

// bench is the state that all peers share.
type bench struct {
	options
	generator *generator
	address   string // of the targets
}

// newBench serves the targets until the process ends.
func newBench(o options) (*bench, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, generator: newGenerator(o.targets, o.series), address: l.Addr().String()}
	go func() { _ = http.Serve(l, b.generator) }()
	return b, nil
}
