package remoteconfigextension

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/lastgood"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadata"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// fakeRunner implements runner with the contract of remotepipelines.Runner. Its
// probation takes as long as the field says.
type fakeRunner struct {
	mu         sync.Mutex
	running    remoteconf.Set
	failsStart map[string]error // by the set's hash: does not start
	failsLater map[string]error // by the set's hash: fails in probation
	probation  time.Duration
	applied    []string // the hashes that were applied, in order
	status     string
}

func (p *fakeRunner) Apply(ctx context.Context, want remoteconf.Set, started func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	hash := want.Hash()
	p.mu.Lock()
	p.applied = append(p.applied, hash)
	before := p.running
	if err := p.failsStart[hash]; err != nil {
		p.mu.Unlock()
		return err
	}
	if before.Equal(want) {
		p.mu.Unlock()
		return nil
	}
	p.running = want
	p.mu.Unlock()
	started()
	select {
	case <-time.After(p.probation):
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failsLater[hash]; err != nil {
		p.running = before
		return err
	}
	return nil
}

func (p *fakeRunner) Running() remoteconf.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

func (p *fakeRunner) Effective() map[string][]byte { return p.Running() }

func (p *fakeRunner) Health() remotepipelines.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return remotepipelines.Health{
		Healthy: p.status == "", Status: p.status,
		Parts: map[string]remotepipelines.Health{"a": {Parts: map[string]remotepipelines.Health{"exporter:nop": {Error: "x"}}}},
	}
}

func (p *fakeRunner) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *fakeRunner) takeApplied() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.applied
	p.applied = nil
	return all
}

// statusHost is a host that records the reported component status.
type statusHost struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (w *statusHost) Report(e *componentstatus.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *statusHost) last() (componentstatus.Status, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.events) == 0 {
		return componentstatus.StatusNone, ""
	}
	e := w.events[len(w.events)-1]
	if e.Err() == nil {
		return e.Status(), ""
	}
	return e.Status(), e.Err().Error()
}

// harness is a conductor with its surroundings.
type harness struct {
	*conductor
	*fakeRunner
	host *statusHost

	mu      sync.Mutex
	reports []transport.Report
	stop    func()
}

// newHarness starts a conductor on a directory, as the extension does.
func newHarness(t *testing.T, dir string, p *fakeRunner) *harness {
	t.Helper()
	h := &harness{fakeRunner: p, host: &statusHost{Host: componenttest.NewNopHost()}}
	store, err := lastgood.Open(dir, "remote_config")
	require.NoError(t, err)
	good, damaged, err := store.LastGood()
	require.NoError(t, err)
	require.NoError(t, damaged)
	tel, err := newTelemetry(componenttest.NewNopTelemetrySettings(), component.NewID(metadata.Type))
	require.NoError(t, err)
	status := new(healthstatus.Reporter)
	status.Start(h.host)
	if p.probation == 0 {
		p.probation = 30 * time.Second
	}
	h.conductor = &conductor{
		runner: p, store: store, settle: settleTime(p.probation), lastGood: good, logger: zap.NewNop(), telemetry: tel, status: status,
		offers: make(chan struct{}, 1),
		report: func(r transport.Report) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.reports = append(h.reports, r)
		},
	}
	h.begin()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.run(ctx)
	}()
	h.stop = func() {
		cancel()
		<-done
		require.NoError(t, store.Close())
	}
	t.Cleanup(func() { h.stop() })
	return h
}

// crash simulates a process that was killed: nothing that a conductor does at its end
// takes effect.
func (h *harness) crash(t *testing.T) {
	t.Helper()
	require.NoError(t, h.store.Close()) // as the kernel does; later writes are refused
	h.stop()
}

// newest returns the last report and the number of reports.
func (h *harness) newest() (r transport.Report, count int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reports[len(h.reports)-1], len(h.reports)
}

// last returns the newest report as "hash status: error".
func (h *harness) last() string {
	r, _ := h.newest()
	text := r.Hash + " " + r.Status.String()
	if r.Error != "" {
		text += ": " + r.Error
	}
	return text
}

func set(name string) remoteconf.Set { return remoteconf.Set{name: []byte(name + ": {}")} }

func hash(name string) string { return set(name).Hash() }

// offer offers the set of this name, with a hash of the server.
func (h *harness) offer(name string) {
	h.offered(transport.Offer{Hash: "#" + name, Set: set(name)})
	synctest.Wait()
}
