package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/rwsink"
)

var header = []string{
	"peer", "CPU s per million samples", "RSS avg MiB", "RSS peak MiB",
	"wire B/sample", "disk B/sample", "write(2) B/sample", "sent/scraped",
}

const mib = 1 << 20

// measure returns the row of a peer in the table.
func (b *bench) measure(ctx context.Context, p peer) (row []string, err error) {
	err = b.try(ctx, p, rwsink.KeepCounts, func(ctx context.Context, t *trial) error {
		if err := peerprocess.Wait(ctx, b.warmup); err != nil {
			return err
		}
		begin, err := t.read()
		if err != nil {
			return err
		}
		t.takeMemory()
		if err := peerprocess.Wait(ctx, b.duration); err != nil {
			return err
		}
		end, err := t.read()
		if err != nil {
			return err
		}
		memory := t.takeMemory()
		d := end.since(begin)
		if d.sent == 0 || d.scraped == 0 {
			return fmt.Errorf("%d samples scraped and %d sent: %s", d.scraped, d.sent, t.child.Output())
		}
		due := int64(b.targets) * int64(b.series+p.perScrape) * int64(b.duration/b.interval)
		fmt.Fprintf(os.Stderr, "%s: %d samples scraped of %d due, %d sent in %d requests\n", p.name, d.scraped, due, d.sent, d.requests)
		sent, scraped := float64(d.sent), float64(d.scraped)
		row = []string{
			p.name,
			fmt.Sprintf("%.2f", d.cpu.Seconds()/sent*1e6),
			fmt.Sprintf("%.0f", float64(memory.average())/mib),
			fmt.Sprintf("%.0f", float64(memory.peak)/mib),
			fmt.Sprintf("%.1f", float64(d.wire)/sent),
			fmt.Sprintf("%.1f", float64(d.files)/scraped),
			fmt.Sprintf("%.1f", float64(d.write-d.wire)/scraped),
			fmt.Sprintf("%.3f", sent/scraped),
		}
		if b.profile != "" && p.name == "invar" {
			return t.saveProfiles(ctx)
		}
		return nil
	})
	return row, err
}

// profileTime is the duration of the CPU profile, which follows the measurement.
const profileTime = 30 * time.Second

func (t *trial) saveProfiles(ctx context.Context) error {
	if err := os.MkdirAll(t.profile, 0o700); err != nil {
		return err
	}
	f := func(name, query string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.pprof+"/debug/pprof/"+query, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("fetch %s: %s", query, resp.Status)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		file := filepath.Join(t.profile, name)
		fmt.Fprintln(os.Stderr, "saved", file)
		return os.WriteFile(file, body, 0o600)
	}
	return errors.Join(
		f("cpu.pprof", fmt.Sprintf("profile?seconds=%d", int(profileTime.Seconds()))),
		f("heap.pprof", "heap"),
	)
}
