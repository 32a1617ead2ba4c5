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

// job scrapes the targets of one scrape config. sync must not be called
// concurrently, and not after wait.
type job struct {
	cfg       *ScrapeConfig
	client    *http.Client
	logger    *zap.Logger
	telemetry *telemetry
	consume   func(ctx context.Context, pd pprofile.Profiles) error
	converter converter
	room      *room

	loops   map[uint64]context.CancelFunc // by the target's id
	running sync.WaitGroup
	unusual string // what was wrong with targets last, and is in the log
}

func newJob(cfg *ScrapeConfig, r *scrapeReceiver) (*job, error) {
	client, err := commonconfig.NewClientFromConfig(cfg.client, cfg.JobName,
		commonconfig.WithUserAgent(r.set.BuildInfo.Command+"/"+r.set.BuildInfo.Version))
	if err != nil {
		return nil, fmt.Errorf("job_name: %q: make the HTTP client: %w", cfg.JobName, err)
	}
	return &job{
		cfg: cfg, client: client, logger: r.set.Logger.With(zap.String("job", cfg.JobName)),
		telemetry: r.telemetry, consume: r.consume, converter: converter{version: r.set.BuildInfo.Version}, room: r.room,
		loops: map[uint64]context.CancelFunc{},
	}, nil
}

// sync begins to scrape new targets and ends the loops of those that are gone.
// All loops end with ctx.
func (j *job) sync(ctx context.Context, groups []*targetgroup.Group) {
	wanted := map[uint64]*target{}
	var errs []error
	for _, group := range groups {
		found, wrong := j.cfg.targetsOf(group)
		errs = append(errs, wrong...)
		for _, t := range found {
			wanted[t.id] = t
		}
	}
	j.complain(errs)
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
	f := &fetcher{client: j.client, reader: reader{room: j.room, limit: int64(j.cfg.BodySizeLimit)}}
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

// complain logs what is wrong with targets when it has changed.
func (j *job) complain(errs []error) {
	text := ""
	if len(errs) > 0 {
		text = errs[0].Error()
	}
	if text != "" && text != j.unusual {
		const most = 5
		j.logger.Warn("Discovery found targets that cannot be scraped",
			zap.Int("targets", len(errs)), zap.Error(errors.Join(errs[:min(len(errs), most)]...)))
	}
	j.unusual = text
}

// wait waits for the loops, whose context has ended.
func (j *job) wait() {
	j.running.Wait()
	j.client.CloseIdleConnections()
}
