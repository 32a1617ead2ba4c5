package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/loopbackport"
	"github.com/invar-otel/invar/tests/rwsink"
)

// watched is the number of receivers with a client.
const watched = 3

// scrapeInterval is the scrape interval in the configuration.
const scrapeInterval = time.Second

// startTimeout bounds the time until all receivers and scrapes of a peer work.
const startTimeout = 60 * time.Second

// measure runs a peer and reloads it.
func measure(ctx context.Context, o options, binary, dir string) (*result, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	sink := rwsink.New(rwsink.Options{})
	defer sink.Close()
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/write" {
			sink.Handler().ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body) // OTLP; an empty response is valid
	}))
	defer endpoint.Close()
	s := &setup{sink: strings.TrimPrefix(endpoint.URL, "http://"), dir: dir}
	targets, stop, err := s.address(o.pipelines)
	defer stop()
	if err != nil {
		return nil, err
	}

	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(s.config(0)), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "--config", path)
	child, err := peerprocess.Start(cmd, dir)
	if err != nil {
		return nil, err
	}
	defer child.Stop()
	clients, stopClients := startClients(ctx, s.receivers)
	defer stopClients()
	if err := await(ctx, child, func() bool {
		for _, t := range targets {
			if t.count() < 3 {
				return false
			}
		}
		for _, c := range clients {
			if c.count() == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		return nil, err
	}

	r := &result{}
	if r.rssBefore, err = child.RSS(); err != nil {
		return nil, err
	}
	for n := range o.reloads {
		if err := os.WriteFile(path, []byte(s.config(n+1)), 0o600); err != nil {
			return nil, err
		}
		for _, c := range clients {
			c.reset()
		}
		for _, t := range targets {
			t.reset()
		}
		asked := time.Now()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			return nil, err
		}
		select {
		case <-time.After(o.pause + rand.N(scrapeInterval)): // otherwise it would hit the same targets each time
		case <-child.Done():
			return nil, child.Ended()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		gap, until := longest(clients)
		if gap < 2*time.Millisecond {
			return nil, errors.New("nothing was reloaded: " + child.Output())
		}
		missed := 0
		for _, t := range targets {
			if gap, _ := longest([]*events{t}); gap > 3*scrapeInterval/2 {
				missed++
			}
		}
		r.gap = append(r.gap, gap)
		r.effect = append(r.effect, until.Sub(asked))
		r.missed = append(r.missed, 100*missed/len(targets))
	}
	r.rssAfter, err = child.RSS()
	return r, err
}

// address sets the addresses and starts the scrape targets. stop must be called even if
// there is an error.
func (s *setup) address(pipelines int) (targets []*events, stop func(), err error) {
	var servers []*httptest.Server
	stop = func() {
		for _, server := range servers {
			server.Close()
		}
	}
	for i := range pipelines {
		if i%2 == 0 {
			addr, err := loopbackport.FreeAddr()
			if err != nil {
				return nil, stop, err
			}
			s.receivers = append(s.receivers, addr)
			continue
		}
		e := &events{}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			e.happened()
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			for i := range 100 {
				_, _ = fmt.Fprintf(w, "a_metric{n=\"%d\"} 1\n", i)
			}
		}))
		servers, targets = append(servers, server), append(targets, e)
		s.targets = append(s.targets, strings.TrimPrefix(server.URL, "http://"))
	}
	s.metrics, err = loopbackport.FreeAddr()
	return targets, stop, err
}

func await(ctx context.Context, child *peerprocess.Child, ready func() bool) error {
	deadline := time.Now().Add(startTimeout)
	for !ready() {
		if time.Now().After(deadline) {
			return fmt.Errorf("not all pipelines work after %s: %s", startTimeout, child.Output())
		}
		select {
		case <-child.Done():
			return child.Ended()
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// events records the longest time between two events. Its methods may be called
// concurrently.
type events struct {
	mu      sync.Mutex
	n       int
	last    time.Time
	longest time.Duration
	until   time.Time // the end of the longest
}

func (e *events) happened() {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	if gap := now.Sub(e.last); e.n > 0 && gap > e.longest {
		e.longest, e.until = gap, now
	}
	e.n, e.last = e.n+1, now
}

func (e *events) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

// reset resets the longest time, but keeps the last event.
func (e *events) reset() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.longest = 0
}

// longest returns the longest time of all and when it ended.
func longest(all []*events) (gap time.Duration, until time.Time) {
	for _, e := range all {
		e.mu.Lock()
		if e.longest > gap {
			gap, until = e.longest, e.until
		}
		e.mu.Unlock()
	}
	return gap, until
}

// startClients sends to the watched receivers every millisecond. An event is an accepted
// request.
func startClients(ctx context.Context, receivers []string) (accepted []*events, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	step := max(1, (len(receivers)-1)/(watched-1))
	for i := 0; i < len(receivers) && len(accepted) < watched; i += step {
		e := &events{}
		accepted = append(accepted, e)
		running.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport}
			for ctx.Err() == nil {
				if push(ctx, client, "http://"+receivers[i]+"/v1/logs") {
					e.happened()
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	return accepted, func() {
		cancel()
		running.Wait()
	}
}

const oneRecord = `{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"hello"}}]}]}]}`

// push reports whether a log record was accepted.
func push(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(oneRecord))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode == http.StatusOK
}
