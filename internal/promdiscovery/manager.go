package promdiscovery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// Settings is what a Manager is made of.
type Settings struct {
	// Jobs are the discoveries to run, by a name that the groups come back with.
	Jobs map[string]discovery.Configs
	// Update is called from one goroutine, with all groups of all jobs, whenever
	// some have changed, at most every few seconds. A job that has no targets
	// left has an empty list. Labels are as discovered, with their __meta_ ones.
	// Groups belong to the discoveries: they are read only. It is not called any
	// more when Shutdown has returned without an error.
	Update func(groups map[string][]*targetgroup.Group)
	Logger *zap.Logger
}

// Manager runs the discoveries of some jobs. Start and Shutdown must not be
// called concurrently.
type Manager struct {
	set       Settings
	discovery *discovery.Manager
	cancel    context.CancelFunc // nil unless started
	running   sync.WaitGroup     // discoveries, and who passes their groups on
	failed    []error            // of discoveries that could not be made
}

// NewManager makes a Manager that does nothing yet.
func NewManager(set Settings) *Manager { return &Manager{set: set} }

// Start begins to discover. A discovery that cannot be made (a kubeconfig that
// is not there, say) is an error that names its job, and none then runs. One
// that cannot reach its source tries again and logs it.
func (m *Manager) Start() error {
	logger := slog.New(zapslog.NewHandler(m.set.Logger.Core()))
	registry := prometheus.NewRegistry() // of its own, as the names would collide with another's
	metrics, err := discovery.CreateAndRegisterSDMetrics(registry)
	if err != nil {
		return fmt.Errorf("register service discovery metrics: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.discovery = discovery.NewManager(ctx, logger, registry, metrics)
	if m.discovery == nil {
		cancel()
		return errors.New("make the discovery manager; the log has the reason")
	}
	m.cancel, m.failed = cancel, nil
	m.running.Go(func() { _ = m.discovery.Run() }) // ends with the context, and only says so
	m.running.Go(func() {
		for groups := range m.discovery.SyncCh() {
			if ctx.Err() == nil {
				m.set.Update(groups)
			}
		}
	})
	jobs := make(map[string]discovery.Configs, len(m.set.Jobs))
	for name, configs := range m.set.Jobs {
		for _, c := range configs {
			jobs[name] = append(jobs[name], watched{Config: c, m: m})
		}
	}
	err = m.discovery.ApplyConfig(jobs)
	if err = errors.Join(append(m.failed, err)...); err != nil {
		return errors.Join(err, m.Shutdown(context.Background()))
	}
	return nil
}

// Shutdown ends all discoveries and waits for their goroutines until ctx ends.
// It may be called before Start and more than once.
func (m *Manager) Shutdown(ctx context.Context) error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	m.cancel = nil
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.running.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for service discovery to end: %w", ctx.Err())
	}
}

// watched is a discovery whose errors and goroutine the Manager knows of, which
// Prometheus' manager keeps to itself.
type watched struct {
	discovery.Config
	// m is one pointer, so that the same discovery of two jobs is still seen to
	// be the same, and run once.
	m *Manager
}

// NewDiscoverer implements discovery.Config. It is called by ApplyConfig, in
// Start's goroutine.
func (w watched) NewDiscoverer(opts discovery.DiscovererOptions) (discovery.Discoverer, error) {
	d, err := w.Config.NewDiscoverer(opts)
	if err != nil {
		w.m.failed = append(w.m.failed, fmt.Errorf("job %q: %s_sd_configs: %w", opts.SetName, w.Name(), err))
		return nil, err
	}
	w.m.running.Add(1) // every discoverer that is made is run, once
	return running{Discoverer: d, done: w.m.running.Done}, nil
}

// running is a discoverer that says when it has ended.
type running struct {
	discovery.Discoverer
	done func()
}

// Run implements discovery.Discoverer.
func (r running) Run(ctx context.Context, up chan<- []*targetgroup.Group) {
	defer r.done()
	r.Discoverer.Run(ctx, up)
}
