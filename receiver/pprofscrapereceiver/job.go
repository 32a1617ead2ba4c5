package pprofscrapereceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta"
)

// job scrapes the targets of a scrape config. sync must not be called concurrently,
// nor after wait.
type job struct {
	cfg       *ScrapeConfig
	client    *http.Client
	logger    *zap.Logger
	telemetry *telemetry
	consume   func(ctx context.Context, pd pprofile.Profiles) error
	converter converter
	memory    *memoryLimit

	loops   map[uint64]context.CancelFunc // by the target's id
	running sync.WaitGroup
	problem string // with targets; already logged
}

func newJob(cfg *ScrapeConfig, r *scrapeReceiver) (*job, error) {
	client, err := commonconfig.NewClientFromConfig(cfg.client, cfg.JobName,
		commonconfig.WithUserAgent(r.set.BuildInfo.Command+"/"+r.set.BuildInfo.Version))
	if err != nil {
		return nil, fmt.Errorf("job_name: %q: make the HTTP client: %w", cfg.JobName, err)
	}
	return &job{
		cfg: cfg, client: client, logger: r.set.Logger.With(zap.String("job", cfg.JobName)),
		telemetry: r.telemetry, consume: r.consume, converter: converter{version: r.set.BuildInfo.Version}, memory: r.memory,
		loops: map[uint64]context.CancelFunc{},
	}, nil
}

// sync starts loops for new targets and stops the loops of targets that are gone.
// All loops stop when ctx is done.
func (j *job) sync(ctx context.Context, groups []*targetgroup.Group) {
	wanted := map[uint64]*target{}
	var errs []error
	for _, group := range groups {
		found, invalid := j.cfg.targetsOf(group)
		errs = append(errs, invalid...)
		for _, t := range found {
			wanted[t.id] = t
		}
	}
	j.warn(errs)
	for id, cancel := range j.loops {
		if wanted[id] == nil {
			cancel()
			delete(j.loops, id)
		}
	}
	for id, t := range wanted {
		if j.loops[id] == nil {
			ctx, cancel := context.WithCancel(ctx)
			j.loops[id] = cancel
			l := j.loop(t)
			j.running.Go(func() { l.run(ctx) })
		}
	}
	j.telemetry.scraping(j.cfg.JobName, len(j.loops))
}

func (j *job) loop(t *target) *loop {
	f := &fetcher{client: j.client, reader: reader{memory: j.memory, limit: int64(j.cfg.BodySizeLimit)}}
	l := &loop{
		target: t, fetch: f.fetch, consume: j.consume, convert: j.converter.convert,
		logger:    j.logger.With(zap.String("profile", t.key), zap.String("url", t.url)),
		telemetry: j.telemetry.forProfile(t.key),
	}
	if len(t.profile.Cumulative) > 0 && !t.profile.Delta {
		l.delta = delta.New(t.profile.Cumulative)
	}
	return l
}

// warn logs the errors of targets if the first of them has changed.
func (j *job) warn(errs []error) {
	text := ""
	if len(errs) > 0 {
		text = errs[0].Error()
	}
	if text != "" && text != j.problem {
		const most = 5
		j.logger.Warn("Discovery found targets that cannot be scraped",
			zap.Int("targets", len(errs)), zap.Error(errors.Join(errs[:min(len(errs), most)]...)))
	}
	j.problem = text
}

// wait waits for the loops to stop. Their context must be done.
func (j *job) wait() {
	j.running.Wait()
	j.client.CloseIdleConnections()
}
