// Package connecttransport polls servers of collector.v1.CollectorService for the
// configuration.
//
//	register ──▶ GetConfig ──▶ wait for poll_interval, or until the status changes
//	   ▲             │ NotFound: register again
//	   └─ next URL ◀─┤ another error: next URL; after the last one a pause that grows
//	                 ▼
//	              offered
package connecttransport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"
	"go.opentelemetry.io/collector/component"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf/collectorv1"
)

const (
	// firstPause follows the first round in which no server answers. It doubles up to
	// the poll interval.
	firstPause = time.Second
	// minGap is the least time between two requests.
	minGap = time.Second
	// returnAfter is how long a collector uses another URL before it tries the first
	// one again.
	returnAfter = 10 * time.Minute
)

// Settings configures a Transport.
type Settings struct {
	// Config must be valid.
	Config    Config
	Identity  transport.Identity
	Telemetry component.TelemetrySettings
	// Asked is called after each exchange with a server, with nil or the reason why
	// there is no configuration. It is called from one goroutine and not after
	// Shutdown has returned. It must not block.
	Asked func(err error)
}

// Transport implements transport.Transport.
type Transport struct {
	set     Settings
	servers []*server
	client  *http.Client

	stop context.CancelFunc // ends poll; nil before Start
	done chan struct{}      // closed when poll has ended

	mu       sync.Mutex
	report   transport.Report
	reported chan struct{} // readable after the report's status has changed

	// The rest belongs to the goroutine of poll.

	offered   func(transport.Offer)
	received  bool      // there was an offer, or a report with the hash of one
	hash      string    // of the last offer
	current   int       // index of the server that answered last
	awaySince time.Time // when current ceased to be 0
}

// New returns a transport. It sends nothing before Start.
func New(set Settings) *Transport {
	return &Transport{set: set, reported: make(chan struct{}, 1)}
}

// Start implements transport.Transport.
func (t *Transport) Start(ctx context.Context, host component.Host, offered func(transport.Offer)) error {
	client, err := t.set.Config.ToClient(ctx, host.GetExtensions(), t.set.Telemetry)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	t.start(client, offered)
	return nil
}

func (t *Transport) start(client *http.Client, offered func(transport.Offer)) {
	client.Transport = &bounded{next: client.Transport}
	client.CheckRedirect = sameHost
	t.client, t.offered = client, offered
	for _, url := range t.set.Config.servers() {
		t.servers = append(t.servers, &server{
			url: url,
			service: collectorv1.NewClient(client, url,
				connect.WithAcceptCompression("gzip", nil, nil)), // see bounded
		})
	}
	t.mu.Lock()
	t.received, t.hash = t.report.Status != 0, t.report.Hash
	t.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	t.stop, t.done = cancel, make(chan struct{})
	go func() {
		defer close(t.done)
		t.poll(ctx)
	}()
}

// Report implements transport.Transport.
func (t *Transport) Report(r transport.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed := r.Hash != t.report.Hash || r.Status != t.report.Status || r.Error != t.report.Error
	t.report = r
	if changed {
		select {
		case t.reported <- struct{}{}:
		default: // poll has not read the last one yet
		}
	}
}

// Shutdown implements transport.Transport.
func (t *Transport) Shutdown(ctx context.Context) error {
	if t.stop == nil {
		return nil
	}
	t.stop()
	<-t.done // a pending request ends with its context
	defer t.client.CloseIdleConnections()
	if !t.set.Config.UnregisterOnShutdown {
		return nil
	}
	s := t.servers[t.current]
	if !s.registered {
		return nil
	}
	if err := s.unregister(ctx, t.set.Identity.ID); err != nil {
		// The server forgets the collector after a while.
		t.set.Telemetry.Logger.Warn("The server could not be told that the collector stops", zap.String("endpoint", s.url), zap.Error(explain(err)))
	}
	return nil
}

// poll asks the servers until ctx ends.
func (t *Transport) poll(ctx context.Context) {
	var pause time.Duration
	for {
		wait, early := jitter(t.set.Config.PollInterval, 0.1), t.reported
		if t.round(ctx) {
			pause = 0
		} else {
			pause = min(max(firstPause, 2*pause), t.set.Config.PollInterval)
			wait, early = jitter(pause, 0.5), nil
		}
		if !t.wait(ctx, wait, early) {
			return
		}
	}
}

// wait waits for d, or at least minGap if early becomes readable. It returns false if
// ctx ends.
func (*Transport) wait(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	whole, gap := time.NewTimer(d), time.NewTimer(min(d, minGap))
	defer whole.Stop()
	defer gap.Stop()
	select {
	case <-gap.C:
	case <-ctx.Done():
		return false
	}
	select {
	case <-whole.C:
	case <-early:
	case <-ctx.Done():
		return false
	}
	return true
}

// jitter returns a random duration around d, within the given share of d.
func jitter(d time.Duration, share float64) time.Duration {
	return time.Duration(float64(d) * (1 + share*(2*rand.Float64()-1)))
}

// round asks the servers in turn until one answers, and reports whether one did. It
// begins with the server that answered last, or with the first one after returnAfter.
func (t *Transport) round(ctx context.Context) bool {
	begin := t.current
	if begin != 0 && time.Since(t.awaySince) >= returnAfter {
		begin, t.awaySince = 0, time.Now()
	}
	for i := range t.servers {
		at := (begin + i) % len(t.servers)
		answered := t.ask(ctx, t.servers[at])
		if ctx.Err() != nil {
			return false
		}
		if answered {
			if at != t.current && at != 0 {
				t.awaySince = time.Now()
			}
			t.current = at
			return true
		}
	}
	return false
}
