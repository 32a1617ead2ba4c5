package nativescrape

import (
	"context"
	"sync"
	"time"

	promscrape "github.com/prometheus/prometheus/scrape"
)

// loop scrapes one target at its interval.
type loop struct {
	target  *target
	stopped chan struct{} // closed by stop

	mu             sync.Mutex
	targetLimitErr error // not nil while the job exceeds target_limit: every scrape fails
}

func newLoop(t *target) *loop { return &loop{target: t, stopped: make(chan struct{})} }

// stop ends the loop, which then marks the target's series stale in the background.
// It must be called once only.
func (l *loop) stop() { close(l.stopped) }

// setTargetLimitError makes scrapes fail with err, or run again if err is nil.
func (l *loop) setTargetLimitError(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.targetLimitErr = err
}

func (l *loop) targetLimitError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.targetLimitErr
}

// offset returns the time until the target's next scrape. Its place in the interval
// depends on its identity and the seed only, so targets are spread evenly and keep
// their places over restarts.
func (l *loop) offset(seed uint64, now time.Time) time.Duration {
	interval := uint64(l.target.interval)
	base := interval - uint64(now.UnixNano())%interval
	return time.Duration((base + (l.target.hash^seed)%interval) % interval)
}

// run scrapes until stop is called or ctx ends, which happens at shutdown only.
func (l *loop) run(ctx context.Context, seed uint64) {
	if !l.sleep(ctx, l.offset(seed, time.Now())) {
		return
	}
	ticker := time.NewTicker(l.target.interval)
	defer ticker.Stop()
	for aligned := time.Now().Round(0); ; {
		var at time.Time
		at, aligned = align(time.Now().Round(0), aligned, l.target.interval)
		l.target.scrapeOnce(ctx, at, l.targetLimitError())
		select {
		case <-ctx.Done():
			return
		case <-l.stopped:
			l.markStale(ctx, ticker)
			return
		case <-ticker.C:
		}
	}
}

// sleep waits for d and reports whether the loop is still to run.
func (l *loop) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-l.stopped:
		return false
	case <-timer.C:
		return true
	}
}

// align returns the timestamp of a scrape that runs now: its scheduled time if the
// scrape is late by no more than the tolerance, because equal distances compress
// better in the database. next is the aligned time to pass for the next scrape.
func align(now, aligned time.Time, interval time.Duration) (at, next time.Time) {
	tolerance := min(interval/100, promscrape.ScrapeTimestampTolerance)
	for now.Sub(aligned) >= interval {
		aligned = aligned.Add(interval)
	}
	if now.Sub(aligned) <= tolerance {
		return aligned, aligned
	}
	return now, aligned
}

// markStale marks all series of the target stale, a little more than two intervals
// after the last scrape. If the target has come back under another loop by then,
// its samples are newer and the markers are rejected.
func (l *loop) markStale(ctx context.Context, ticker *time.Ticker) {
	var at time.Time
	for i := range 2 {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if i == 0 {
			at = time.Now()
		}
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(l.target.interval / 10):
	}
	s := l.target.newScrape(ctx, at)
	s.fail()
	s.markReportsStale()
	if err := s.app.Commit(); err != nil {
		l.target.logger.Warn("Committing staleness markers failed", "err", err)
	}
}
