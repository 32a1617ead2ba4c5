package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/lokisink"
	"github.com/invar-otel/invar/tests/loopbackport"
)

// endpoint counts records that arrive through Loki's push API or as OTLP.
type endpoint struct {
	loki lokisink.Sink
	otlp atomic.Int64
}

func (e *endpoint) records() int64 { return e.loki.Lines() + e.otlp.Load() }

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v1/logs" {
		e.loki.ServeHTTP(w, r)
		return
	}
	n, err := countOTLP(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e.otlp.Add(n)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func countOTLP(r *http.Request) (int64, error) {
	body, err := decompressed(r)
	if err != nil {
		return 0, err
	}
	request := plogotlp.NewExportRequest()
	if err := request.UnmarshalProto(body); err != nil {
		return 0, err
	}
	return int64(request.Logs().LogRecordCount()), nil
}

const mib = 1 << 20

// profileTime is the duration of a peer's CPU profile.
const profileTime = 8 * time.Second

func measure(ctx context.Context, o options, p peer, l load, dir string) (row []string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sink := &endpoint{}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: sink, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	defer func() { err = errors.Join(err, server.Close()) }()

	input, err := l.input()
	if err != nil {
		return nil, err
	}
	profiles, err := loopbackport.FreeAddr()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(p.config, input, "http://"+listener.Addr().String(), profiles, dir)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	child, err := peerprocess.Start(exec.Command(o.binary, "--config", config), dir)
	if err != nil {
		return nil, err
	}
	defer child.Stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-child.Done()
		cancel(child.Ended())
	}()
	if err := waitFor(ctx, func() bool { return reachable(profiles) }); err != nil {
		return nil, err
	}

	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	var memory memory
	beside.Go(func() { memory.watch(ctx, child) })
	var share float64
	var profileErr error
	beside.Go(func() {
		if err := waitFor(ctx, func() bool { return sink.records() > 0 }); err == nil {
			share, profileErr = cpuShare(ctx, profiles, p, o.profile)
		}
	})

	started := time.Now()
	records, bytes, err := l.feed(ctx, input)
	if err != nil {
		return nil, err
	}
	if err := waitFor(ctx, func() bool { return sink.records() >= records }); err != nil {
		return nil, fmt.Errorf("%d of %d records arrived: %w", sink.records(), records, err)
	}
	took := time.Since(started)
	cpu, err := child.CPU()
	if err != nil {
		return nil, err
	}
	average, peak := memory.figures()
	cancel(nil)
	beside.Wait()
	if profileErr != nil && !errors.Is(profileErr, context.Canceled) {
		return nil, profileErr
	}
	amount, format := float64(bytes)/1e6, "%.1f"
	if o.otlp {
		amount, format = float64(records), "%.0f"
	}
	return []string{
		p.name, fmt.Sprintf(format, amount/cpu.Seconds()), fmt.Sprintf(format, amount/took.Seconds()),
		fmt.Sprintf("%.0f", average/mib), fmt.Sprintf("%.0f", peak/mib), fmt.Sprintf("%.0f", 100*share),
	}, nil
}

// memory is the resident set over time.
type memory struct {
	mu           sync.Mutex
	sum, n, peak float64
}

func (m *memory) watch(ctx context.Context, child *peerprocess.Child) {
	for peerprocess.Wait(ctx, pause) == nil {
		rss, err := child.RSS()
		if err != nil {
			return // it ends
		}
		m.mu.Lock()
		m.sum, m.n, m.peak = m.sum+float64(rss), m.n+1, max(m.peak, float64(rss))
		m.mu.Unlock()
	}
}

func (m *memory) figures() (average, peak float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum / max(1, m.n), m.peak
}

// cpuShare returns the exporter function's share of the process' CPU time.
func cpuShare(ctx context.Context, addr string, p peer, save string) (float64, error) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", addr, int(profileTime.Seconds()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if save != "" {
		if err := os.WriteFile(filepath.Join(save, p.name+".pprof"), body, 0o600); err != nil {
			return 0, err
		}
	}
	prof, err := profile.ParseData(body)
	if err != nil {
		return 0, err
	}
	var all, own int64
	for _, sample := range prof.Sample {
		value := sample.Value[len(sample.Value)-1]
		all += value
		if inFunction(sample, p.function) {
			own += value
		}
	}
	return float64(own) / float64(max(1, all)), nil
}

func inFunction(sample *profile.Sample, name string) bool {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if strings.Contains(line.Function.Name, name) {
				return true
			}
		}
	}
	return false
}

// pause is the time between two samples.
const pause = 100 * time.Millisecond

func waitFor(ctx context.Context, done func() bool) error {
	for !done() {
		if err := peerprocess.Wait(ctx, pause); err != nil {
			return err
		}
	}
	return nil
}

func reachable(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, time.Second) //nolint:noctx // it is bounded
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
