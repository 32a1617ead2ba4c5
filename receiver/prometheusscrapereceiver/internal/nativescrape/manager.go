package nativescrape

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"os"
	"reflect"
	"sync"

	commonconfig "github.com/prometheus/common/config"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/logging"
)

// Settings configures a Manager.
type Settings struct {
	// Sink receives the samples. For a known series, Append is called with its
	// reference and without labels; see promlane.ErrUnknownRef.
	Sink          storage.AppendableV2
	Logger        *slog.Logger
	ClientOptions []commonconfig.HTTPClientOption
	// StartTimestamps reads start timestamps instead of _created series.
	StartTimestamps bool
}

// Manager scrapes the targets of all jobs. It replaces scrape.Manager and has
// the same methods. They are safe for concurrent use.
type Manager struct {
	set    Settings
	ctx    context.Context //nolint:containedctx // the loops', from New to Stop
	cancel context.CancelFunc
	loops  sync.WaitGroup

	mu       sync.Mutex
	seed     uint64
	external []labels.Label
	configs  map[string]*promconfig.ScrapeConfig
	pools    map[string]*pool
	groups   map[string][]*targetgroup.Group
	stopped  bool
}

// New returns a Manager without jobs.
func New(set Settings) *Manager {
	ctx, cancel := context.WithCancel(context.Background())
	return &Manager{set: set, ctx: ctx, cancel: cancel, pools: make(map[string]*pool)}
}

// Run applies updates of service discovery until Stop is called or the channel is
// closed.
func (m *Manager) Run(updates <-chan map[string][]*targetgroup.Group) error {
	for {
		select {
		case <-m.ctx.Done():
			return nil
		case groups, ok := <-updates:
			if !ok {
				return nil
			}
			m.mu.Lock()
			m.groups = groups
			m.sync()
			m.mu.Unlock()
		}
	}
}

// ApplyConfig replaces the jobs with those of cfg. Unchanged jobs keep running.
func (m *Manager) ApplyConfig(cfg *promconfig.Config) error {
	jobs, err := cfg.GetScrapeConfigs()
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.configs = make(map[string]*promconfig.ScrapeConfig, len(jobs))
	for _, job := range jobs {
		m.configs[job.JobName] = job
	}
	m.external = nil
	cfg.GlobalConfig.ExternalLabels.Range(func(l labels.Label) { m.external = append(m.external, l) })
	m.seed = hostSeed(cfg.GlobalConfig.ExternalLabels)
	for name, p := range m.pools {
		if !reflect.DeepEqual(m.configs[name], p.cfg) {
			p.stop()
			delete(m.pools, name)
		}
	}
	m.sync()
	return nil
}

// hostSeed returns the seed that makes collectors with the same targets scrape
// them at different times.
func hostSeed(external labels.Labels) uint64 {
	h := fnv.New64a()
	host, _ := os.Hostname() // empty on error: the external labels still differ
	_, _ = io.WriteString(h, host+external.String())
	return h.Sum64()
}

// sync starts and stops loops to match the discovered targets of all jobs. The
// caller holds mu.
func (m *Manager) sync() {
	if m.stopped {
		return
	}
	for name, groups := range m.groups {
		job, ok := m.configs[name]
		if !ok {
			continue // the update is from an earlier configuration
		}
		p := m.pools[name]
		if p == nil {
			var err error
			if p, err = m.newPool(job); err != nil {
				m.set.Logger.Error("Cannot scrape a job", "job", name, "err", err)
				continue
			}
			m.pools[name] = p
		}
		p.sync(groups)
	}
}

// Stop ends all loops, cancels running scrapes and waits for them. It writes no
// staleness markers, because the collector is expected to be restarted.
func (m *Manager) Stop() {
	m.mu.Lock()
	m.stopped = true
	m.cancel()
	m.mu.Unlock()
	m.loops.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pools {
		p.close()
	}
}

// pool runs the loops of one job.
type pool struct {
	m        *Manager
	cfg      *promconfig.ScrapeConfig
	logger   *slog.Logger
	client   *http.Client
	failures *logging.JSONFileLogger
	loops    map[uint64]*loop
}

func (m *Manager) newPool(cfg *promconfig.ScrapeConfig) (*pool, error) {
	client, err := commonconfig.NewClientFromConfig(cfg.HTTPClientConfig, cfg.JobName, m.set.ClientOptions...)
	if err != nil {
		return nil, err
	}
	p := &pool{m: m, cfg: cfg, client: client, logger: m.set.Logger.With("scrape_pool", cfg.JobName), loops: make(map[uint64]*loop)}
	if cfg.ScrapeFailureLogFile != "" {
		if p.failures, err = logging.NewJSONFileLogger(cfg.ScrapeFailureLogFile); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// sync starts loops for new targets and stops the loops of targets that have
// disappeared.
func (p *pool) sync(groups []*targetgroup.Group) {
	var targets []*promscrape.Target
	builder := labels.NewBuilder(labels.EmptyLabels())
	found := make(map[uint64]bool) // by identity
	for _, g := range groups {
		var failures []error
		targets, failures = promscrape.TargetsFromGroup(g, p.cfg, targets, builder)
		for _, err := range failures {
			p.logger.Error("Creating target failed", "err", err)
		}
		for _, t := range targets {
			if isDropped(t) {
				continue
			}
			id := identity(t)
			if found[id] = true; p.loops[id] == nil {
				p.start(id, t)
			}
		}
	}
	for id, l := range p.loops {
		if !found[id] {
			l.stop()
			delete(p.loops, id)
		}
	}
	var limitErr error
	if n, limit := len(p.loops), int(p.cfg.TargetLimit); limit > 0 && n > limit {
		limitErr = fmt.Errorf("target_limit exceeded (number of targets: %d, limit: %d)", n, limit)
	}
	for _, l := range p.loops {
		l.setTargetLimitError(limitErr)
	}
}

// isDropped reports whether relabelling dropped a target: it has no labels then.
func isDropped(t *promscrape.Target) bool {
	empty := true
	t.LabelsRange(func(labels.Label) { empty = false })
	return empty
}

func (p *pool) start(id uint64, t *promscrape.Target) {
	state := &target{
		cfg: p.cfg, discovered: t, sink: p.m.set.Sink, external: p.m.external, hash: id,
		logger: p.logger.With("target", t), fetcher: fetcher{client: p.client},
	}
	if p.failures != nil {
		state.failures = slog.New(p.failures).With("job_name", p.cfg.JobName, "target", t)
	}
	if err := state.init(p.m.set.StartTimestamps); err != nil {
		state.logger.Error("Cannot scrape a target", "err", err)
		return
	}
	l := newLoop(state)
	p.loops[id] = l
	ctx, seed := p.m.ctx, p.m.seed
	p.m.loops.Go(func() { l.run(ctx, seed) })
}

// stop ends the job's loops: the job was removed or reconfigured. Each loop marks
// its series stale unless newer samples have been written by then. Prometheus
// leaves the series of a removed job to the lookback.
func (p *pool) stop() {
	for _, l := range p.loops {
		l.stop()
	}
	p.close()
}

func (p *pool) close() {
	p.client.CloseIdleConnections()
	if p.failures != nil {
		_ = p.failures.Close() // nothing can be done about an error
	}
}
