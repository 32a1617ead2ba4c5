//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	job    = "targets" // the one job of discovery
)

// profileReceiver runs the profiler, and sends what it has sampled.
type profileReceiver struct {
	set    receiver.Settings
	cfg    *Config
	next   xconsumer.Profiles
	logger *zap.Logger
	status healthstatus.Reporter
	obs    *receiverhelper.ObsReport
	tel    *telemetry

	started  bool // as the one receiver of the process
	stopping atomic.Bool
	// begin is startProfiler, but for tests.
	begin    func(ctx context.Context, host component.Host, offCPU float64) error
	starting sync.WaitGroup
	hurry    context.CancelFunc // ends the start of the profiler; nil before Start
	// The next two are for those who have waited for starting; nil unless they run.
	profiler xreceiver.Profiles
	samples  *sampleCollector
	stopOnce sync.Once
	stopped  chan struct{} // closed when stopErr is set
	stopErr  error

	files     *executables.Files
	symbols   *symbolizer
	discovery *promdiscovery.Manager              // nil without targets
	targets   atomic.Pointer[attribution.Targets] // nil until discovery has found some
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
	r.begin = r.startProfiler
	if !cfg.Targets.Empty() {
		r.discovery = promdiscovery.NewManager(promdiscovery.Settings{
			Jobs:   map[string]discovery.Configs{job: cfg.Targets.Configs()},
			Update: func(groups map[string][]*targetgroup.Group) { r.targets.Store(attribution.NewTargets(groups[job])) },
			Logger: set.Logger,
		})
	}
	return r, nil
}

// Start implements component.Component. Where the profiler cannot run, that is
// the receiver's status, and the collector runs without it.
func (r *profileReceiver) Start(ctx context.Context, host component.Host) error {
	if err := theOne.start(r.set.ID); err != nil {
		return err
	}
	r.started = true
	r.status.Start(host)
	if r.discovery != nil {
		if err := r.discovery.Start(); err != nil {
			return fmt.Errorf("targets: %w", err)
		}
	}
	// The profiler looks at every process before it starts to sample, which may
	// take seconds on a busy host: the rest of the collector does not wait.
	ctx, r.hurry = context.WithCancel(context.WithoutCancel(ctx))
	r.starting.Go(func() { r.run(ctx, host) })
	return nil
}

// run starts the profiler and says so if it cannot.
func (r *profileReceiver) run(ctx context.Context, host component.Host) {
	missing := privilege.Host{Proc: procfs, Sys: sysfs}.Missing()
	err := r.startWithoutWhatIsMissing(ctx, host)
	if ctx.Err() != nil {
		return // Shutdown did not wait for it
	}
	if err != nil {
		if !strings.Contains(strings.ToLower(err.Error()), "rlimit") {
			missing = slices.DeleteFunc(missing, func(l privilege.Lack) bool { return l.Memlock })
		}
		err = fmt.Errorf("the host is not profiled: %w", errors.Join(slices.Concat([]error{err}, lacks(missing, true), lacks(missing, false))...))
		r.logger.Error("Profiles of the host are missing", zap.Error(err))
		r.status.Permanent(err)
		return
	}
	for _, lack := range lacks(missing, false) {
		r.logger.Warn("Some profiles of the host are incomplete", zap.Error(lack))
	}
	r.logger.Info("The host is profiled", zap.Int("samples_per_second", r.cfg.SampleRate))
}

// startWithoutWhatIsMissing starts the profiler, and without off-CPU profiles if these
// keep it from starting.
func (r *profileReceiver) startWithoutWhatIsMissing(ctx context.Context, host component.Host) error {
	if r.cfg.OffCPU == 0 {
		return r.begin(ctx, host, 0)
	}
	var why error
	if lack := (privilege.Host{Proc: procfs, Sys: sysfs}).OffCPU(); lack != nil {
		why = errors.New(lack.String())
	} else if why = r.begin(ctx, host, r.cfg.OffCPU); why == nil || ctx.Err() != nil {
		return why
	}
	if err := r.begin(ctx, host, 0); err != nil {
		return err // it is not about off-CPU profiles, or not only
	}
	r.logger.Warn("Off-CPU profiles of the host are missing; its CPU profiles are not", zap.Error(why))
	return nil
}

// lacks are what is missing for everything, if fatal, or for a part only.
func lacks(missing []privilege.Lack, fatal bool) []error {
	var errs []error
	for _, l := range missing {
		if l.Fatal == fatal {
			errs = append(errs, errors.New(l.String()))
		}
	}
	return errs
}

// profilerConfig is the configuration of OpenTelemetry's profiler, with the part of
// the switches away from a CPU that is recorded.
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

// startProfiler makes and starts OpenTelemetry's profiler, which reports to a
// collector of ours. After an error it may be called again.
func (r *profileReceiver) startProfiler(ctx context.Context, host component.Host, offCPU float64) error {
	cfg, err := r.cfg.profilerConfig(offCPU)
	if err != nil {
		return err
	}
	var failed atomic.Bool // then the profiler stops the collector as intended
	samples := newSampleCollector(r.cfg.Interval, r.send, func() {
		if !failed.Load() {
			r.ended()
		}
	})
	create := collector.BuildProfilesReceiver(
		collector.WithExecutableReporter(r.files),
		collector.WithReporterFactory(func(*reporter.Config, xconsumer.Profiles) (reporter.Reporter, error) {
			return samples, nil
		}))
	set := r.set
	// The profiler reports what it does at the level info, which is not what a
	// user of the collector looks for there.
	set.Logger = set.Logger.WithOptions(zap.IncreaseLevel(max(zap.WarnLevel, set.Logger.Level())))
	profiler, err := create(ctx, set, cfg, r.next)
	if err != nil {
		return err
	}
	// The profiler ends what it runs with the context that it is started with.
	if err := profiler.Start(ctx, host); err != nil {
		failed.Store(true)
		return errors.Join(err, profiler.Shutdown(ctx))
	}
	r.profiler, r.samples = profiler, samples
	return nil
}

// ended is called when the profiler has stopped the collector of samples. If
// that was not Shutdown, it has given up.
func (r *profileReceiver) ended() {
	if !r.stopping.Load() {
		err := errors.New("the host is not profiled any more: the profiler has stopped; its last words are in the log")
		r.logger.Error("Profiles of the host are missing", zap.Error(err))
		r.status.Permanent(err)
	}
}

// send names and attributes what was sampled in one period, and passes it on.
func (r *profileReceiver) send(ctx context.Context, p *period) {
	if p.lost > 0 {
		r.logger.Warn("Samples were lost: the pipeline did not take the profile before", zap.Int("samples", p.lost))
	}
	p.settle()
	targets := r.targets.Load()
	n := newNames()
	kept := make(map[*sampled]attribution.Attributes, len(p.processes))
	dropped := 0
	for key, s := range p.processes {
		attributes, ok := r.known.attributes(key, s.process, targets)
		if !ok {
			dropped += s.len()
			continue
		}
		kept[s] = attributes
		for _, st := range s.stacks {
			for ; st != nil; st = st.next {
				for _, f := range st.frames {
					n.want(f.Value(), key.pid)
				}
			}
		}
	}
	r.known.forget()
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

// Shutdown implements component.Component. What was sampled last is sent. When
// ctx ends before that is done, it is given up; the profiler may then take a
// while to stop, and another receiver cannot start in this process until it has.
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
	case <-r.stopped: // at the same time
		return r.stopErr
	default:
		return fmt.Errorf("wait for the profiler to stop: %w", ctx.Err())
	}
}

func (r *profileReceiver) stop(ctx context.Context) error {
	if r.hurry != nil {
		r.hurry()
	}
	r.starting.Wait()
	var errs []error
	if r.profiler != nil {
		giveUp := context.AfterFunc(ctx, r.samples.abort)
		errs = append(errs, r.profiler.Shutdown(ctx))
		giveUp()
	}
	if r.discovery != nil {
		errs = append(errs, r.discovery.Shutdown(ctx))
	}
	r.files.Close()
	theOne.release(r.set.ID, r.started)
	return errors.Join(errs...)
}
