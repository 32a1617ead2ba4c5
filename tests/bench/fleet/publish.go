package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/bench/report"
)

const collectorConfig = `
extensions:
  remote_config:
    connect: {endpoint: %q, poll_interval: %s}
    id: bench
    storage_directory: %q
    probation: %s
receivers: {nop: }
exporters: {nop: }
service:
  extensions: [remote_config]
  pipelines: {metrics: {receivers: [nop], exporters: [nop]}}
  telemetry: {metrics: {level: none}}
`

const publishedConfig = `
config:
  receivers: {host_metrics: {collection_interval: 10s, scrapers: {load: }}}
  processors: {attributes: {actions: [{key: revision, value: "%d", action: insert}]}}
  exporters: {nop: }
  service: {pipelines: {metrics: {receivers: [host_metrics], processors: [attributes], exporters: [nop]}}}
`

// publish measures the time from a publication until a collector has applied it.
func publish(ctx context.Context, o options, dir string) error {
	s, err := startServer(ctx, o, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	config := filepath.Join(dir, "collector.yaml")
	text := fmt.Sprintf(collectorConfig, s.url, pollInterval, filepath.Join(dir, "remote"), o.probation)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	collector, err := peerprocess.Start(exec.Command(o.collector, "--config", config), dir)
	if err != nil {
		return err
	}
	defer collector.Stop()

	var times []time.Duration
	for i := range o.publishes + 1 {
		if err := peerprocess.Wait(ctx, rand.N(pollInterval)); err != nil {
			return err
		}
		if err := s.do(ctx, http.MethodPut, "/api/v1/pipelines/bench", fmt.Sprintf(publishedConfig, i), nil); err != nil {
			return err
		}
		begin := time.Now()
		if err := s.applied(ctx, collector); err != nil {
			return err
		}
		if i > 0 { // the first waits for the collector's start
			times = append(times, time.Since(begin))
		}
	}
	slices.Sort(times)
	var sum time.Duration
	for _, t := range times {
		sum += t
	}
	seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
	report.Table(os.Stdout, o.markdown, []string{"publish to APPLIED, s", "mean", "median", "longest", "publications"}, [][]string{{
		fmt.Sprintf("asked every %s, probation %s", pollInterval, o.probation),
		seconds(sum / time.Duration(len(times))), seconds(times[len(times)/2]), seconds(times[len(times)-1]), fmt.Sprint(len(times)),
	}})
	return nil
}

// applied waits until the server has recorded that the collector applied the current
// offer.
func (s *server) applied(ctx context.Context, collector *peerprocess.Child) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		var c struct {
			Status   string `json:"status"`
			Error    string `json:"error"`
			UpToDate bool   `json:"up_to_date"`
		}
		err := s.do(ctx, http.MethodGet, "/api/v1/collectors/bench", "", &c)
		if err == nil && c.Status == "APPLIED" && c.UpToDate {
			return nil
		}
		if wait := peerprocess.Wait(ctx, 20*time.Millisecond); wait != nil {
			return fmt.Errorf("%w: %s %s %w: %s", wait, c.Status, c.Error, err, collector.Output())
		}
	}
}
