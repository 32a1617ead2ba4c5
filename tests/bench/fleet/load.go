package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/bench/report"
)

const loadPipeline = `
matchers: ['shard="%d"']
config:
  receivers: {prometheus_scrape: {config: {scrape_configs: [{job_name: "job-%d-%d", static_configs: [{targets: ["127.0.0.1:9100"]}]}]}}}
  exporters: {otlp_http: {endpoint: "https://otlp.example.org"}}
  service: {pipelines: {metrics: {receivers: [prometheus_scrape], exporters: [otlp_http]}}}
`

// shards is the number of groups of collectors that the pipelines' matchers select.
const shards = 10

const mib = 1 << 20

// load measures the server while many collectors poll it.
func load(ctx context.Context, o options, dir string) error {
	s, err := startServer(ctx, o, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	publishAll := func(ctx context.Context, version int) error {
		for i := range o.pipelines {
			body := fmt.Sprintf(loadPipeline, i%shards, i, version)
			if err := s.do(ctx, http.MethodPut, fmt.Sprintf("/api/v1/pipelines/p%d", i), body, nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := publishAll(ctx, 1); err != nil {
		return err
	}
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: o.collectors}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	collectors := make([]*simulated, o.collectors)
	var wg sync.WaitGroup
	for i := range collectors {
		c := newSimulated(client, s.url, i)
		collectors[i] = c
		wg.Go(func() { c.run(running, pollInterval*time.Duration(i)/time.Duration(o.collectors)) })
	}
	stop := func() { cancel(); wg.Wait() }
	if err := peerprocess.Wait(ctx, 2*pollInterval); err != nil { // all are registered and have applied
		stop()
		return err
	}
	for _, c := range collectors {
		c.reset()
	}
	begin, cpu, err := s.figures()
	if err != nil {
		stop()
		return err
	}
	memory := s.watchMemory(running)
	if err = peerprocess.Wait(ctx, o.duration/2); err == nil {
		if err = publishAll(ctx, 2); err == nil {
			err = peerprocess.Wait(ctx, o.duration/2)
		}
	}
	if err != nil {
		stop()
		return err
	}
	end, cpuEnd, err := s.figures()
	stop()
	if err != nil {
		return err
	}
	average, peak := memory()
	return printLoad(o, collectors, end.Sub(begin), cpuEnd-cpu, average, peak)
}

func printLoad(o options, collectors []*simulated, elapsed, cpu time.Duration, average, peak float64) error {
	var all []time.Duration
	var bytes, failed int64
	behind := 0
	for _, c := range collectors {
		all = append(all, c.latencies...)
		bytes += c.bytes
		failed += c.failed
		if c.applied < 2 {
			behind++
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no request was answered")
	}
	if behind > 0 {
		return fmt.Errorf("%d collectors did not receive the revision published in the middle", behind)
	}
	slices.Sort(all)
	at := func(share float64) string {
		return fmt.Sprintf("%.2f", float64(all[int(share*float64(len(all)-1))])/1e6)
	}
	report.Table(os.Stdout, o.markdown, []string{"fleet server", "CPU, % of a core", "RSS avg MiB", "RSS peak MiB", "GetConfig p50 ms", "p99 ms", "longest ms", "requests/s", "B/request", "failed"}, [][]string{{
		fmt.Sprintf("%d collectors, %d pipelines", o.collectors, o.pipelines),
		fmt.Sprintf("%.2f", 100*cpu.Seconds()/elapsed.Seconds()),
		fmt.Sprintf("%.0f", average/mib), fmt.Sprintf("%.0f", peak/mib),
		at(.5), at(.99), at(1),
		fmt.Sprintf("%.0f", float64(len(all))/elapsed.Seconds()),
		fmt.Sprintf("%d", bytes/int64(len(all))),
		fmt.Sprint(failed),
	}})
	return nil
}

func (s *server) figures() (time.Time, time.Duration, error) {
	cpu, err := s.CPU()
	return time.Now(), cpu, err
}

// watchMemory samples the resident set until ctx ends. The returned function may only be
// called after that.
func (s *server) watchMemory(ctx context.Context) func() (average, peak float64) {
	var sum, peak float64
	var n int
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if rss, err := s.RSS(); err == nil {
				sum, peak, n = sum+float64(rss), max(peak, float64(rss)), n+1
			}
			if peerprocess.Wait(ctx, 100*time.Millisecond) != nil {
				return
			}
		}
	}()
	return func() (float64, float64) {
		<-done
		return sum / float64(max(n, 1)), peak
	}
}
