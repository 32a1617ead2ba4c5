//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/collector/receiver/xreceiver"
	"go.opentelemetry.io/ebpf-profiler/collector"
	profilerconfig "go.opentelemetry.io/ebpf-profiler/collector/config"
	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/healthstatus"
	"github.com/invar-otel/invar/internal/promdiscovery"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/executables"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/privilege"
)

const (
	procfs = "/proc"
	sysfs  = "/sys"
	job    = "targets" // the only job of service discovery
)

// profileReceiver runs the profiler and sends what it has sampled.
type profileReceiver struct {
	set    receiver.Settings
	cfg    *Config
	next   xconsumer.Profiles
	logger *zap.Logger
	status healthstatus.Reporter
	obs    *receiverhelper.ObsReport
	tel    *telemetry

	active bool // as the activeReceiver of the process
	// startProfiler is startRealProfiler, except in tests.
	startProfiler func(ctx context.Context, host component.Host, offCPU float64) error
	startup       sync.WaitGroup     // the goroutine that starts the profiler
	cancelStart   context.CancelFunc // nil before Start
	// profiler and samples are nil unless the profiler runs. They must be read after
	// waiting for startup only.
	profiler xreceiver.Profiles
	samples  *sampleCollector

	stopping atomic.Bool
	stopOnce sync.Once
	stopped  chan struct{} // closed once stopErr is set
	stopErr  error

	files     *executables.Files
	symbols   *symbolizer
	discovery *promdiscovery.Manager              // nil without targets
	targets   atomic.Pointer[attribution.Targets] // nil until service discovery has reported
	known     knownProcesses
}

func newReceiver(set receiver.Settings, cfg *Config, next xconsumer.Profiles) (xreceiver.Profiles, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID: set.ID, Transport: "ebpf", ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	tel, err := newTelemetry(set.TelemetrySettings, set.ID)
	if err != nil {
		return nil, err
	}
	files := executables.New(procfs)
	r := &profileReceiver{
		set: set, cfg: cfg, next: next, logger: set.Logger, obs: obs, tel: tel,
		files: files,
		symbols: &symbolizer{
			cache: elfsymbols.NewCache(int(cfg.Symbols.CacheSize), cfg.Symbols.Demangle), files: files, logger: set.Logger,
		},
		known:   newKnownProcesses(procfs, cfg.Targets.RelabelConfigs()),
		stopped: make(chan struct{}),
	}
	r.startProfiler = r.startRealProfiler
	if !cfg.Targets.Empty() {
		r.discovery = promdiscovery.NewManager(promdiscovery.Settings{
			Jobs:   map[string]discovery.Configs{job: cfg.Targets.Configs()},
			Update: func(groups map[string][]*targetgroup.Group) { r.targets.Store(attribution.NewTargets(groups[job])) },
			Logger: set.Logger,
		})
	}
	return r, nil
}

// Start implements component.Component. If the profiler cannot run, Start still
// succeeds and the receiver reports a permanent error as its status.
func (r *profileReceiver) Start(ctx context.Context, host component.Host) error {
	if err := activeReceiver.start(r.set.ID); err != nil {
		return err
	}
	r.active = true
	r.status.Start(host)
	if r.discovery != nil {
		if err := r.discovery.Start(); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
	}
	// The profiler inspects every process before it samples, which may take seconds on
	// a busy host. The rest of the collector does not wait for it.
	ctx, r.cancelStart = context.WithCancel(context.WithoutCancel(ctx))
	r.startup.Go(func() { r.run(ctx, host) })
	return nil
}

// run starts the profiler and reports if it cannot run.
func (r *profileReceiver) run(ctx context.Context, host component.Host) {
	problems := privilege.Host{Proc: procfs, Sys: sysfs}.Problems()
	err := r.startProfilerOrCPUOnly(ctx, host)
	if ctx.Err() != nil {
		return // Shutdown was called meanwhile
	}
	if err != nil {
		if !isMemlockError(err) {
			problems = slices.DeleteFunc(problems, func(p privilege.Problem) bool { return p.Memlock })
		}
		err = fmt.Errorf("the host is not profiled: %w", errors.Join(slices.Concat([]error{err}, problemErrors(problems, true), problemErrors(problems, false))...))
		r.logger.Error("Profiles of the host are missing", zap.Error(err))
		r.status.Permanent(err)
		return
	}
	for _, problem := range problemErrors(problems, false) {
		r.logger.Warn("Some profiles of the host are incomplete", zap.Error(problem))
	}
	r.logger.Info("The host is profiled", zap.Int("samples_per_second", r.cfg.SampleRate))
}

// startProfilerOrCPUOnly starts the profiler. If it cannot start with off-CPU profiles,
// it starts without them.
func (r *profileReceiver) startProfilerOrCPUOnly(ctx context.Context, host component.Host) error {
	if r.cfg.OffCPU == 0 {
		return r.startProfiler(ctx, host, 0)
	}
	var offCPUErr error
	if problem := (privilege.Host{Proc: procfs, Sys: sysfs}).OffCPUProblem(); problem != nil {
		offCPUErr = errors.New(problem.String())
	} else if offCPUErr = r.startProfiler(ctx, host, r.cfg.OffCPU); offCPUErr == nil || ctx.Err() != nil {
		return offCPUErr
	}
	if err := r.startProfiler(ctx, host, 0); err != nil {
		return err // off-CPU profiles are not the cause, or not the only one
	}
	r.logger.Warn("Off-CPU profiles of the host are missing; its CPU profiles are not", zap.Error(offCPUErr))
	return nil
}

// problemErrors returns the problems that are fatal, or those that are not, as errors.
func problemErrors(problems []privilege.Problem, fatal bool) []error {
	var errs []error
	for _, p := range problems {
		if p.Fatal == fatal {
			errs = append(errs, errors.New(p.String()))
		}
	}
	return errs
}

// profilerConfig returns the configuration of OpenTelemetry's profiler. offCPU is the
// fraction of switches away from a CPU that is recorded.
func (c *Config) profilerConfig(offCPU float64) (*profilerconfig.Config, error) {
	wanted, err := interpreters(c.Interpreters)
	if err != nil {
		return nil, err
	}
	cfg, ok := collector.NewFactory().CreateDefaultConfig().(*profilerconfig.Config)
	if !ok {
		return nil, errors.New("the profiler has a configuration of an unknown kind")
	}
	cfg.SamplesPerSecond = c.SampleRate
	cfg.ReporterInterval = c.Interval
	cfg.OffCPUThreshold = offCPU
	cfg.FilterMinProcessAge = c.MinProcessAge
	cfg.MapScaleFactor = c.MapScale
	cfg.Interpreters = wanted
	cfg.IncludeEnvVars = attribution.EnvServiceName + "," + attribution.EnvResourceAttributes
	return cfg, cfg.Validate()
}

// startRealProfiler creates and starts OpenTelemetry's profiler, which reports to a
// sampleCollector. It may be called again after an error.
func (r *profileReceiver) startRealProfiler(ctx context.Context, host component.Host, offCPU float64) error {
	cfg, err := r.cfg.profilerConfig(offCPU)
	if err != nil {
		return err
	}
	var startFailed atomic.Bool // the profiler is expected to stop the collector then
	samples := newSampleCollector(r.cfg.Interval, r.send, func() {
		if !startFailed.Load() {
			r.profilerStopped()
		}
	})
	create := collector.BuildProfilesReceiver(
		collector.WithExecutableReporter(r.files),
		collector.WithReporterFactory(func(*reporter.Config, xconsumer.Profiles) (reporter.Reporter, error) {
			return samples, nil
		}))
	set := r.set
	// The profiler logs its own progress at the level info, which does not interest
	// users of the collector.
	set.Logger = set.Logger.WithOptions(zap.IncreaseLevel(max(zap.WarnLevel, set.Logger.Level())))
	profiler, err := create(ctx, set, cfg, r.next)
	if err != nil {
		return err
	}
	// The profiler runs until the context of Start ends.
	if err := profiler.Start(ctx, host); err != nil {
		startFailed.Store(true)
		return errors.Join(err, profiler.Shutdown(ctx))
	}
	r.profiler, r.samples = profiler, samples
	return nil
}

// profilerStopped is called when the profiler has stopped its collector. Unless
// Shutdown was called, the profiler has given up.
func (r *profileReceiver) profilerStopped() {
	if !r.stopping.Load() {
		err := errors.New("the host is not profiled any more: the profiler has stopped; its last words are in the log")
		r.logger.Error("Profiles of the host are missing", zap.Error(err))
		r.status.Permanent(err)
	}
}

// send names and attributes the samples of one period and passes them on.
func (r *profileReceiver) send(ctx context.Context, p *period) {
	if p.lost > 0 {
		r.logger.Warn("Samples were lost: the pipeline did not take the profile before", zap.Int("samples", p.lost))
	}
	p.assignUnseen()
	kept, dropped := r.selectProcesses(p)
	n := newNames()
	for s := range kept {
		for st := range s.all() {
			for _, f := range st.frames {
				n.want(f.Value(), libpf.PID(s.process.PID))
			}
		}
	}
	r.symbols.resolve(n)
	b := newBatch(p, r.cfg.SampleRate, n, r.cfg.Symbols.UnknownFrames)
	for s, attributes := range kept {
		b.add(s, attributes)
	}
	stacks := b.out.SampleCount()
	r.tel.record(periodStats{
		processes: len(kept), stacks: stacks, dropped: dropped, lost: p.lost, unnamed: b.unnamed,
		symbolsBytes: r.symbols.cache.Stats().Bytes,
	})
	if stacks == 0 {
		return
	}
	ctx = r.obs.StartProfilesOp(ctx)
	err := r.next.ConsumeProfiles(ctx, b.out)
	r.obs.EndProfilesOp(ctx, metadata.Type.String(), stacks, err)
	if err != nil {
		r.logger.Error("Profiles of the host were not taken by the pipeline and are lost", zap.Error(err), zap.Int("stacks", stacks))
	}
}

// selectProcesses returns the processes that relabel_configs keeps, with their
// attributes, and the number of stacks of the others.
func (r *profileReceiver) selectProcesses(p *period) (kept map[*sampled]attribution.Attributes, droppedStacks int) {
	targets := r.targets.Load()
	kept = make(map[*sampled]attribution.Attributes, len(p.processes))
	for key, s := range p.processes {
		attributes, keep := r.known.attributes(key, s.process, targets)
		if !keep {
			droppedStacks += s.len()
			continue
		}
		kept[s] = attributes
	}
	r.known.endPeriod()
	return kept, droppedStacks
}

// Shutdown implements component.Component. It sends the last samples. If ctx ends
// before that is done, the samples are discarded, and the profiler may take a while to
// stop. No other receiver can start in this process until it has.
func (r *profileReceiver) Shutdown(ctx context.Context) error {
	r.stopping.Store(true)
	r.stopOnce.Do(func() {
		go func() {
			defer close(r.stopped)
			r.stopErr = r.stop(ctx)
		}()
	})
	select {
	case <-r.stopped:
		return r.stopErr
	case <-ctx.Done():
	}
	select {
	case <-r.stopped: // both were ready
		return r.stopErr
	default:
		return fmt.Errorf("wait for the profiler to stop: %w", ctx.Err())
	}
}

func (r *profileReceiver) stop(ctx context.Context) error {
	if r.cancelStart != nil {
		r.cancelStart()
	}
	r.startup.Wait()
	var errs []error
	if r.profiler != nil {
		stopAfter := context.AfterFunc(ctx, r.samples.abort)
		errs = append(errs, r.profiler.Shutdown(ctx))
		stopAfter()
	}
	if r.discovery != nil {
		errs = append(errs, r.discovery.Shutdown(ctx))
	}
	r.files.Close()
	if r.active {
		activeReceiver.stop()
	} else {
		activeReceiver.release(r.set.ID)
	}
	return errors.Join(errs...)
}
