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

// Settings configures a Manager.
type Settings struct {
	// Jobs holds the discoveries to run by the name that Update gets their groups with.
	Jobs map[string]discovery.Configs
	// Update is called by one goroutine when groups have changed, at most every few
	// seconds, with all groups of all jobs. The list of a job without targets is empty.
	// Labels are as discovered and include __meta_ labels. The groups must not be
	// modified. Update is not called after Shutdown has returned nil.
	Update func(groups map[string][]*targetgroup.Group)
	Logger *zap.Logger
}

// Manager runs the discoveries of jobs. Start and Shutdown must not be called concurrently.
type Manager struct {
	set       Settings
	discovery *discovery.Manager
	cancel    context.CancelFunc // nil unless started
	running   sync.WaitGroup     // discoveries, and the goroutine that calls Update
	failed    []error            // from creating discoveries
}

// NewManager returns a Manager that is not running.
func NewManager(set Settings) *Manager { return &Manager{set: set} }

// Start starts all discoveries. If one cannot be created, for example because its kubeconfig
// does not exist, Start returns an error that names the job, and none runs. A discovery that
// cannot reach its source logs that and retries.
func (m *Manager) Start() error {
	logger := slog.New(zapslog.NewHandler(m.set.Logger.Core()))
	registry := prometheus.NewRegistry() // not shared: the names of several managers would collide
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
	m.running.Go(func() { _ = m.discovery.Run() }) // the only error is that of the context
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

// Shutdown stops all discoveries and waits for their goroutines until ctx ends. It may be
// called before Start and more than once.
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

// watched is a discovery that reports errors and the end of its goroutine to the Manager.
// Prometheus' manager does not expose either.
type watched struct {
	discovery.Config
	// m is the same pointer in all of them, so equal discoveries of two jobs stay equal
	// and run once.
	m *Manager
}

// NewDiscoverer implements discovery.Config. ApplyConfig calls it in the goroutine of Start.
func (w watched) NewDiscoverer(opts discovery.DiscovererOptions) (discovery.Discoverer, error) {
	d, err := w.Config.NewDiscoverer(opts)
	if err != nil {
		w.m.failed = append(w.m.failed, fmt.Errorf("job %q: %s_sd_configs: %w", opts.SetName, w.Name(), err))
		return nil, err
	}
	w.m.running.Add(1) // every discoverer runs once
	return running{Discoverer: d, done: w.m.running.Done}, nil
}

// running is a discoverer that calls done when it has ended.
type running struct {
	discovery.Discoverer
	done func()
}

// Run implements discovery.Discoverer.
func (r running) Run(ctx context.Context, up chan<- []*targetgroup.Group) {
	defer r.done()
	r.Discoverer.Run(ctx, up)
}
