package pprofscrapereceiver

import (
	"context"
	"errors"
	"time"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta"
)

// loop scrapes one profile of one target, one scrape at a time. All of it
// belongs to the goroutine that runs it.
type loop struct {
	*target
	fetch   func(ctx context.Context, url string) (*profile.Profile, int, error)
	consume func(ctx context.Context, pd pprofile.Profiles) error
	convert func(p *profile.Profile, t *target) (pprofile.Profiles, error)
	logger  *zap.Logger
	measure measured

	delta   *delta.Computer
	failing bool // and the log says so
}

// run scrapes until ctx ends. Scrapes are where the target's hash puts them in
// the interval, so that they spread and a restart does not move them. A scrape
// that takes longer than the interval makes the loop miss one.
func (l *loop) run(ctx context.Context) {
	wait := time.NewTimer(l.offset(time.Now()))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return
	case <-wait.C:
	}
	tick := time.NewTicker(l.interval)
	defer tick.Stop()
	for {
		l.scrape(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if ctx.Err() != nil { // both were ready
			return
		}
	}
}

// offset is how long to wait for the first scrape.
func (l *loop) offset(now time.Time) time.Duration {
	place := time.Duration(l.id % uint64(l.interval))
	return (place - time.Duration(now.UnixNano()%int64(l.interval)) + l.interval) % l.interval
}

// scrape takes a profile and passes it on. One that has been fetched goes into
// the pipeline also if the loop is ended meanwhile.
func (l *loop) scrape(ctx context.Context) {
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	p, size, err := l.fetch(limited, l.url)
	if err != nil && ctx.Err() != nil {
		return // the target has left, or the receiver ends
	}
	l.measure.scraped()
	l.measure.fetched(time.Since(start), size)
	if err == nil {
		err = l.pass(context.WithoutCancel(ctx), p, start)
	}
	l.report(err)
}

// pass gives what is new in p to the pipeline.
func (l *loop) pass(ctx context.Context, p *profile.Profile, start time.Time) error {
	if p.TimeNanos == 0 {
		p.TimeNanos = start.UnixNano()
	}
	if l.delta != nil && l.delta.Apply(p) == delta.Restarted {
		l.measure.restarted()
	}
	pd, err := l.convert(p, l.target)
	if err != nil {
		return &failure{reasonInvalid, err}
	}
	if pd.SampleCount() > 0 {
		err = l.consume(ctx, pd)
	}
	if l.delta != nil && (err == nil || consumererror.IsPermanent(err)) {
		// What the pipeline did not take for now is in the next difference.
		l.delta.Commit()
	}
	if err != nil {
		return &failure{reasonPipeline, err}
	}
	return nil
}

// report counts a failure, and logs the first of several and the end of them.
func (l *loop) report(err error) {
	var f *failure
	if errors.As(err, &f) {
		l.measure.failedBecause(f.reason)
	}
	switch {
	case err != nil && !l.failing:
		l.logger.Warn("Cannot scrape a profile; further failures are only counted until it works again", zap.Error(err))
	case err == nil && l.failing:
		l.logger.Info("A profile is scraped again")
	}
	l.failing = err != nil
}
