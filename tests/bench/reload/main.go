// Command reload measures how long a reload interrupts receiving and scraping. It compares
// invar with the same components run by upstream's collector, one after the other.
// Everything but the collector runs in this process.
//
//	go run -C tests ./bench/reload -markdown
//	go run -C tests ./bench/reload -reloads 5 -peers invar
//
// The configuration has -pipelines pipelines; half of them receive OTLP, each
// with its own receiver and port, and send batches to an OTLP endpoint. The other half
// scrape one target a second, each with a prometheus_wal. For each reload a value in the
// configuration is changed and SIGHUP is sent.
//
// Columns, the median and the maximum of all reloads:
//
//   - not receiving: the longest time between two accepted requests of a client that
//     tries every millisecond, the maximum of three receivers.
//   - scrape missed: the share of targets that were due during the interruption and
//     were scraped one interval later. It is lower for longer intervals.
//   - in effect: from SIGHUP until the first request is accepted after a refused one.
//   - RSS: VmRSS before the first and after the last reload.
//
// It needs Linux, bin/invar (make build), and the Go command, which builds the other peer
// from the same sources.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/bench/report"
)

type options struct {
	pipelines int
	reloads   int
	pause     time.Duration
	peers     string
	binary    string
	markdown  bool
}

func main() {
	var o options
	flag.IntVar(&o.pipelines, "pipelines", 50, "number of pipelines")
	flag.IntVar(&o.reloads, "reloads", 20, "number of reloads")
	flag.DurationVar(&o.pause, "pause", 7*time.Second, "between two reloads; invar watches a new configuration for 5s")
	flag.StringVar(&o.peers, "peers", "invar,otelcol", "peers to run, separated by commas")
	flag.StringVar(&o.binary, "binary", "../bin/invar", "the collector")
	flag.BoolVar(&o.markdown, "markdown", false, "print a table in Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "reload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.pipelines < 2 || o.reloads < 1 {
		return fmt.Errorf("-pipelines %d, -reloads %d: use at least 2 and 1", o.pipelines, o.reloads)
	}
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "reload")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var rows [][]string
	for name := range strings.SplitSeq(o.peers, ",") {
		switch name {
		case "invar":
		case "otelcol":
			if binary, err = buildUpstream(ctx, binary, dir); err != nil {
				return err
			}
		default:
			return fmt.Errorf("-peers: %q is not a peer; use invar or otelcol", name)
		}
		r, err := measure(ctx, o, binary, filepath.Join(dir, name))
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", name, err), ctx.Err())
		}
		rows = append(rows, append([]string{name}, r.row()...))
	}
	report.Table(os.Stdout, o.markdown, []string{
		"peer", "not receiving, ms", "max", "in effect, ms", "max", "scrape missed, %", "max", "RSS MiB, before → after",
	}, rows)
	fmt.Printf("\n%s\n`reload %s`\n", report.Machine(), strings.Join(os.Args[1:], " "))
	return nil
}

// result has one value per reload.
type result struct {
	gap, effect         []time.Duration
	missed              []int // per cent
	rssBefore, rssAfter int64
}

func (r *result) row() []string {
	var cells []string
	for _, values := range [][]time.Duration{r.gap, r.effect} {
		slices.Sort(values)
		for _, v := range []time.Duration{values[len(values)/2], values[len(values)-1]} {
			cells = append(cells, fmt.Sprintf("%.0f", float64(v)/float64(time.Millisecond)))
		}
	}
	slices.Sort(r.missed)
	cells = append(cells, strconv.Itoa(r.missed[len(r.missed)/2]), strconv.Itoa(r.missed[len(r.missed)-1]))
	const mib = 1 << 20
	return append(cells, fmt.Sprintf("%d → %d", r.rssBefore/mib, r.rssAfter/mib))
}
