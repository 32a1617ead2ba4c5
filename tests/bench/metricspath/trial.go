package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/invar-otel/invar/tests/bench/peerprocess"
	"github.com/invar-otel/invar/tests/loopbackport"
	"github.com/invar-otel/invar/tests/rwsink"
)

// trial is the run of one peer:
//
//	generator ◀─scrape─ child ─write─▶ sink
//	    │                 ▲              │
//	 scraped       CPU, RSS, files      sent
//	    └────────────▶ reading ◀─────────┘
type trial struct {
	*bench
	peer  peer
	sink  *endpoint
	child *peerprocess.Child
	dir   string
	pprof string // address, or ""

	mu     sync.Mutex // of what the sampler writes
	files  peerprocess.Growth
	memory memory
}

// memory is the resident set over time, in bytes.
type memory struct{ sum, n, peak int64 }

func (m *memory) add(rss int64) {
	m.sum, m.n, m.peak = m.sum+rss, m.n+1, max(m.peak, rss)
}

func (m *memory) average() int64 { return m.sum / max(1, m.n) }

// reading has the values of all counters at one time.
type reading struct {
	at            time.Time
	cpu           time.Duration
	scraped, sent int64 // samples
	requests      int64
	wire          int64 // bytes of request bodies
	files         int64 // bytes by which files grew
	write         int64 // bytes given to write(2)
}

func (r reading) since(o reading) reading {
	return reading{
		at: r.at, cpu: r.cpu - o.cpu, scraped: r.scraped - o.scraped, sent: r.sent - o.sent,
		requests: r.requests - o.requests, wire: r.wire - o.wire, files: r.files - o.files, write: r.write - o.write,
	}
}

// try runs f while a peer runs. The context of f ends with the peer.
func (b *bench) try(ctx context.Context, p peer, keep rwsink.Keep, f func(context.Context, *trial) error) (err error) {
	t := &trial{bench: b, peer: p}
	if t.dir, err = os.MkdirTemp("", "metricspath"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(t.dir)) }()
	if t.sink, err = newEndpoint(keep); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.sink.close()) }()
	b.generator.reset()
	if err := t.start(); err != nil {
		return err
	}
	defer t.child.Stop()

	ctx, cancel := context.WithCancelCause(ctx)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer cancel(nil)
	beside.Go(func() {
		select {
		case <-t.child.Done():
			cancel(t.child.Ended())
		case <-ctx.Done():
		}
	})
	beside.Go(func() {
		for {
			err := t.sample()
			if peerprocess.Wait(ctx, samplePause) != nil { // also if the child has just ended
				return
			}
			if err != nil {
				cancel(err)
			}
		}
	})
	return f(ctx, t)
}

func (t *trial) start() error {
	s := setup{
		dir: t.dir, bin: t.bin, targets: t.address, count: t.targets, interval: t.interval,
		writeURL: "http://" + t.sink.addr + "/api/v1/write",
	}
	var err error
	if s.ownAddr, err = loopbackport.FreeAddr(); err != nil {
		return err
	}
	if t.profile != "" {
		if s.pprofAddr, err = loopbackport.FreeAddr(); err != nil {
			return err
		}
		t.pprof = s.pprofAddr
	}
	cmd, err := t.peer.command(s)
	if err != nil {
		return err
	}
	t.child, err = peerprocess.Start(cmd, t.dir)
	return err
}

// samplePause is the time between two samples of memory and files.
const samplePause = 500 * time.Millisecond

func (t *trial) sample() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	rss, err := t.child.RSS()
	if err != nil {
		return err
	}
	t.memory.add(rss)
	return t.files.Update(t.dir)
}

// takeMemory returns the memory since the last call.
func (t *trial) takeMemory() memory {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.memory
	t.memory = memory{}
	return m
}

// fileSize returns the size of all files.
func (t *trial) fileSize() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.files.Now
}

func (t *trial) read() (reading, error) {
	if err := t.sample(); err != nil {
		return reading{}, err
	}
	cpu, err := t.child.CPU()
	if err != nil {
		return reading{}, err
	}
	write, err := t.child.Written()
	if err != nil {
		return reading{}, err
	}
	t.mu.Lock()
	files := t.files.Total
	t.mu.Unlock()
	sent := t.sink.Counts().Total()
	return reading{
		at: time.Now(), cpu: cpu, scraped: t.scraped(), sent: sent.Samples + sent.Histograms,
		requests: sent.Requests, wire: sent.WireBytes, files: files, write: write,
	}, nil
}

// scraped returns the number of samples that the peer should send.
func (t *trial) scraped() int64 {
	return t.generator.scrapes() * int64(t.series+t.peer.perScrape)
}
