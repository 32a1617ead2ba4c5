package pprofscrapereceiver

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/xconsumer"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/promdiscovery"
)

// scrapeReceiver runs the discoveries and jobs of a configuration.
type scrapeReceiver struct {
	cfg       *Config
	set       receiver.Settings
	next      xconsumer.Profiles
	telemetry *telemetry
	obs       *receiverhelper.ObsReport
	memory    *memoryLimit

	cancel    context.CancelFunc // of the loops; nil before Start
	discovery *promdiscovery.Manager
	jobs      map[string]*job
}

func newReceiver(set receiver.Settings, cfg *Config, next xconsumer.Profiles) (*scrapeReceiver, error) {
	r := &scrapeReceiver{cfg: cfg, set: set, next: next, memory: newMemoryLimit(memoryPerLimit * cfg.largestAnswer())}
	var err error
	if r.telemetry, err = newTelemetry(set.TelemetrySettings, set.ID); err != nil {
		return nil, fmt.Errorf("make own metrics: %w", err)
	}
	r.obs, err = receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{ReceiverID: set.ID, Transport: "http", ReceiverCreateSettings: set})
	if err != nil {
		return nil, fmt.Errorf("make own metrics: %w", err)
	}
	return r, nil
}

// Start implements component.Component.
func (r *scrapeReceiver) Start(context.Context, component.Host) error {
	r.warn()
	r.jobs = map[string]*job{}
	configs := map[string]discovery.Configs{}
	var errs []error
	for i := range r.cfg.ScrapeConfigs {
		cfg := &r.cfg.ScrapeConfigs[i]
		j, err := newJob(cfg, r)
		errs = append(errs, err)
		r.jobs[cfg.JobName], configs[cfg.JobName] = j, cfg.targets.Configs()
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	r.discovery = promdiscovery.NewManager(promdiscovery.Settings{
		Jobs: configs, Logger: r.set.Logger,
		Update: func(groups map[string][]*targetgroup.Group) {
			for name, found := range groups {
				r.jobs[name].sync(ctx, found)
			}
		},
	})
	if err := r.discovery.Start(); err != nil {
		return errors.Join(fmt.Errorf("start service discovery: %w", err), r.Shutdown(context.Background()))
	}
	return nil
}

// warn logs jobs without targets. They are not errors: Prometheus accepts them, and
// templates produce them.
func (r *scrapeReceiver) warn() {
	if len(r.cfg.ScrapeConfigs) == 0 {
		r.set.Logger.Warn("scrape_configs is empty, so nothing is scraped; add a job like {job_name: app, static_configs: [{targets: [localhost:6060]}]}")
	}
	for i := range r.cfg.ScrapeConfigs {
		if r.cfg.ScrapeConfigs[i].targets.Empty() {
			r.set.Logger.Warn("A job has neither static_configs nor *_sd_configs, so it scrapes nothing; write them like static_configs: [{targets: [localhost:6060]}]",
				zap.String("job", r.cfg.ScrapeConfigs[i].JobName))
		}
	}
}

// Shutdown implements component.Component. It cancels requests. Profiles that have
// been fetched still go into the pipeline.
func (r *scrapeReceiver) Shutdown(ctx context.Context) error {
	if r.cancel == nil {
		return nil
	}
	r.cancel()
	if err := r.discovery.Shutdown(ctx); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, j := range r.jobs {
			j.wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for scrapes to end: %w", ctx.Err())
	}
}

// consume passes profiles to the pipeline and records the outcome.
func (r *scrapeReceiver) consume(ctx context.Context, pd pprofile.Profiles) error {
	ctx = r.obs.StartProfilesOp(ctx)
	n := pd.SampleCount()
	err := r.next.ConsumeProfiles(ctx, pd)
	r.obs.EndProfilesOp(ctx, "pprof", n, err)
	return err
}
