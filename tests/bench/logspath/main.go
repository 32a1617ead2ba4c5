// Command logspath measures the cost of sending logs to Loki: invar's loki exporter
// compared with upstream's otlp_http exporter, in the same binary, one after the other,
// with the same logs. Everything but the collector runs in this process.
//
//	go run -C tests ./bench/logspath -markdown
//	go run -C tests ./bench/logspath -markdown -otlp
//	go run -C tests ./bench/logspath -peers loki -profile /tmp/profiles
//
// By default the collector tails files: -files of them, -bytes in all, in the
// format of containerd, below a folder like /var/log/pods. The measurement ends when the
// last line has arrived at the endpoint, which only counts lines. With -otlp, the
// collector receives requests of 1,000 records over OTLP/HTTP for -duration instead.
//
// Columns:
//
//   - MB/s per core: bytes of the files for each second of user and system time
//     of the process; 1 MB is 10^6 bytes.
//   - RSS: VmRSS, sampled ten times a second.
//   - exporter: the exporter's share of the CPU time, including translation, encoding
//     and the HTTP client, from a CPU profile of the first seconds.
//
// It needs Linux and bin/invar (make build).
package main

import (
	"context"
	"errors"
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

type options struct {
	bytes    int64
	files    int
	peers    string
	otlp     bool
	duration time.Duration
	binary   string
	profile  string
	markdown bool
}

func main() {
	var o options
	flag.Int64Var(&o.bytes, "bytes", 1<<30, "size of the files together")
	flag.IntVar(&o.files, "files", 8, "number of files")
	flag.StringVar(&o.peers, "peers", "", "peers to run, separated by commas; all if empty")
	flag.BoolVar(&o.otlp, "otlp", false, "send OTLP instead of tailing files")
	flag.DurationVar(&o.duration, "duration", 20*time.Second, "for how long, with -otlp")
	flag.StringVar(&o.binary, "binary", "../bin/invar", "the collector")
	flag.StringVar(&o.profile, "profile", "", "folder to save CPU profiles in")
	flag.BoolVar(&o.markdown, "markdown", false, "print a table in Markdown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "logspath:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	var err error
	if o.binary, err = filepath.Abs(o.binary); err != nil {
		return err
	}
	chosen, err := choosePeers(o.peers, o.otlp)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "logspath")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var load load
	header := []string{"path", "MB/s per core", "MB/s", "RSS avg MiB", "RSS peak MiB", "exporter, % of CPU"}
	if o.otlp {
		header = []string{"path", "records/s per core", "records/s", "RSS avg MiB", "RSS peak MiB", "exporter, % of CPU"}
		load, err = newOTLPLoad(o.duration)
	} else {
		load, err = newFileLoad(filepath.Join(dir, "pods"), o.files, o.bytes)
	}
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range chosen {
		row, err := measure(ctx, o, p, load, filepath.Join(dir, p.name))
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", p.name, err), err)
		}
		rows = append(rows, row)
	}
	report.Table(os.Stdout, o.markdown, header, rows)
	fmt.Printf("\n%s\n`logspath %s`\n", report.Machine(), strings.Join(os.Args[1:], " "))
	return nil
}
