package pprofscrapereceiver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta"
)

// loop scrapes a profile of a target, one scrape at a time. Only the goroutine that
// calls run uses it.
type loop struct {
	target    *target
	fetch     func(ctx context.Context, url string) (*scraped, error)
	consume   func(ctx context.Context, pd pprofile.Profiles) error
	convert   func(s *scraped, t *target) (pprofile.Profiles, error)
	logger    *zap.Logger
	telemetry profileTelemetry

	delta   *delta.Computer
	failing bool // the last scrape failed, which is logged
	logged  map[pprofconv.DropReason]bool
}

// run scrapes until ctx is done. The target's hash decides when in the interval, so
// that scrapes are spread and restarts do not move them. A scrape that takes longer
// than the interval makes the loop skip one.
func (l *loop) run(ctx context.Context) {
	wait := time.NewTimer(l.offset(time.Now()))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return
	case <-wait.C:
	}
	tick := time.NewTicker(l.target.interval)
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

// offset returns the time until the first scrape.
func (l *loop) offset(now time.Time) time.Duration {
	place := time.Duration(l.target.id % uint64(l.target.interval))
	return (place - time.Duration(now.UnixNano()%int64(l.target.interval)) + l.target.interval) % l.target.interval
}

// scrape fetches a profile and passes it to the pipeline. A fetched profile reaches
// the pipeline even if ctx is done meanwhile.
func (l *loop) scrape(ctx context.Context) {
	start := time.Now()
	limited, cancel := context.WithTimeout(ctx, l.target.timeout)
	defer cancel()
	s, err := l.fetch(limited, l.target.url)
	if err != nil && ctx.Err() != nil {
		return // the target is gone, or the receiver stops
	}
	size := 0
	if err == nil {
		size = s.size
	}
	l.telemetry.scraped(time.Since(start), size)
	if err == nil {
		err = l.pass(context.WithoutCancel(ctx), s, start)
	}
	l.report(err)
}

// pass passes the new values of a profile to the pipeline.
func (l *loop) pass(ctx context.Context, s *scraped, start time.Time) error {
	pd, err := l.read(s, start)
	s.done()
	if err != nil {
		return err
	}
	if pd.SampleCount() > 0 {
		err = l.consume(ctx, pd)
	}
	if l.delta != nil && (err == nil || consumererror.IsPermanent(err)) {
		// Otherwise the next difference includes this one.
		l.delta.Commit()
	}
	if err != nil {
		return &failure{reasonPipeline, err}
	}
	return nil
}

// read converts a profile for the pipeline.
func (l *loop) read(s *scraped, start time.Time) (pprofile.Profiles, error) {
	p := s.profile
	if p.TimeNanos == 0 {
		p.TimeNanos = start.UnixNano()
	}
	l.drop(s.dropped)
	if l.delta != nil {
		values := l.delta.Values(p)
		if values > maxCumulative {
			return pprofile.Profiles{}, &failure{reasonTooLarge, fmt.Errorf("the profile has %d cumulative values; at most %d are kept until the next scrape", values, maxCumulative)}
		}
		if err := s.budget.Take(deltaSampleCost*int64(len(p.Sample)) + deltaValueCost*int64(values)); err != nil {
			return pprofile.Profiles{}, &failure{reasonTooLarge, fmt.Errorf("subtract the profile before: %w", err)}
		}
		if l.delta.Apply(p) == delta.Restarted {
			l.telemetry.restarted()
		}
	}
	pd, err := l.convert(s, l.target)
	switch {
	case errors.Is(err, pprofconv.ErrTooLarge):
		err = &failure{reasonTooLarge, fmt.Errorf("convert the profile: %w", err)}
	case err != nil:
		err = &failure{reasonInvalid, err}
	}
	return pd, err
}

// drop counts samples that were left out, and logs each reason once.
func (l *loop) drop(dropped pprofconv.Dropped) {
	for reason, n := range dropped {
		l.telemetry.dropped(reason, n)
		if l.logged[reason] {
			continue
		}
		if l.logged == nil {
			l.logged = map[pprofconv.DropReason]bool{}
		}
		l.logged[reason] = true
		l.logger.Warn("Samples of a profile contradict it and are left out; the others are taken. Further ones are only counted. Reason: "+string(reason), zap.Int("samples", n))
	}
}

// report counts a failure. It logs the first of several in a row, and their end.
func (l *loop) report(err error) {
	var f *failure
	if errors.As(err, &f) {
		l.telemetry.failed(f.reason)
	}
	switch {
	case err != nil && !l.failing:
		l.logger.Warn("Cannot scrape a profile; further failures are only counted until it works again", zap.Error(err))
	case err == nil && l.failing:
		l.logger.Info("A profile is scraped again")
	}
	l.failing = err != nil
}
