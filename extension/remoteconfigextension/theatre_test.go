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

// pipelines are a runner that keeps the contract of remotepipelines.Runner, and
// whose probation takes a while.
type pipelines struct {
	mu        sync.Mutex
	running   remoteconf.Set
	bad       map[string]error // by the set's hash: does not start
	sick      map[string]error // by the set's hash: fails in probation
	probation time.Duration
	applied   []string // the hashes that were applied, in order
	status    string
}

func (p *pipelines) Apply(ctx context.Context, want remoteconf.Set, started func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	hash := want.Hash()
	p.mu.Lock()
	p.applied = append(p.applied, hash)
	before := p.running
	if err := p.bad[hash]; err != nil {
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
	if err := p.sick[hash]; err != nil {
		p.running = before
		return err
	}
	return nil
}

func (p *pipelines) Running() remoteconf.Set {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running
}

func (p *pipelines) Effective() map[string][]byte { return p.Running() }

func (p *pipelines) Health() remotepipelines.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return remotepipelines.Health{
		Healthy: p.status == "", Status: p.status,
		Parts: map[string]remotepipelines.Health{"a": {Parts: map[string]remotepipelines.Health{"exporter:nop": {Error: "x"}}}},
	}
}

func (p *pipelines) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *pipelines) applies() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.applied
	p.applied = nil
	return all
}

// watched is a host that keeps what is reported to it.
type watched struct {
	component.Host
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (w *watched) Report(e *componentstatus.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *watched) last() (componentstatus.Status, string) {
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

// theatre is a conductor and what is around it.
type theatre struct {
	*conductor
	*pipelines
	host *watched

	mu      sync.Mutex
	reports []transport.Report
	stop    func()
}

// conduct starts a conductor on a directory as an extension does.
func conduct(t *testing.T, dir string, p *pipelines) *theatre {
	t.Helper()
	th := &theatre{pipelines: p, host: &watched{Host: componenttest.NewNopHost()}}
	store, err := lastgood.Open(dir, "remote_config")
	require.NoError(t, err)
	good, damaged, err := store.LastGood()
	require.NoError(t, err)
	require.NoError(t, damaged)
	tel, err := newTelemetry(componenttest.NewNopTelemetrySettings(), component.NewID(metadata.Type))
	require.NoError(t, err)
	status := new(healthstatus.Reporter)
	status.Start(th.host)
	if p.probation == 0 {
		p.probation = 30 * time.Second
	}
	th.conductor = &conductor{
		runner: p, store: store, settle: settleTime(p.probation), lastGood: good, logger: zap.NewNop(), telemetry: tel, status: status,
		offers: make(chan struct{}, 1),
		report: func(r transport.Report) {
			th.mu.Lock()
			defer th.mu.Unlock()
			th.reports = append(th.reports, r)
		},
	}
	th.begin()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		th.run(ctx)
	}()
	th.stop = func() {
		cancel()
		<-done
		require.NoError(t, store.Close())
	}
	t.Cleanup(func() { th.stop() })
	return th
}

// die is what remains of a process that was killed: nothing that a conductor
// does at its end.
func (th *theatre) die(t *testing.T) {
	t.Helper()
	require.NoError(t, th.store.Close()) // the kernel does it; what comes later is refused
	th.stop()
}

// newest is the last of the reports, which are count.
func (th *theatre) newest() (r transport.Report, count int) {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.reports[len(th.reports)-1], len(th.reports)
}

// last is the newest report as "hash status: error".
func (th *theatre) last() string {
	r, _ := th.newest()
	text := r.Hash + " " + r.Status.String()
	if r.Error != "" {
		text += ": " + r.Error
	}
	return text
}

func set(name string) remoteconf.Set { return remoteconf.Set{name: []byte(name + ": {}")} }

func hash(name string) string { return set(name).Hash() }

// give offers the set of this name, whose hash is the server's own.
func (th *theatre) give(name string) {
	th.offered(transport.Offer{Hash: "#" + name, Set: set(name)})
	synctest.Wait()
}
