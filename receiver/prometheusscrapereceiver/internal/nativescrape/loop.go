package nativescrape

import (
	"context"
	"sync"
	"time"

	promscrape "github.com/prometheus/prometheus/scrape"
)

// loop scrapes one target at its interval.
type loop struct {
	*target
	stopped chan struct{} // closed by stop

	mu     sync.Mutex
	forced error // fails every scrape: target_limit
}

func newLoop(t *target) *loop { return &loop{target: t, stopped: make(chan struct{})} }

// stop ends the loop. It then still marks the target's series stale.
func (l *loop) stop() { close(l.stopped) }

func (l *loop) force(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forced = err
}

func (l *loop) forcedError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forced
}

// offset is the time until the target's next turn. Its place in the interval
// follows from its identity and the seed, so that targets are spread evenly
// and each keeps its place over restarts.
func (l *loop) offset(seed uint64, now time.Time) time.Duration {
	interval := uint64(l.interval)
	base := interval - uint64(now.UnixNano())%interval
	return time.Duration((base + (l.hash^seed)%interval) % interval)
}

// run scrapes until stop, or until ctx ends: the process does.
func (l *loop) run(ctx context.Context, seed uint64) {
	if !l.sleep(ctx, l.offset(seed, time.Now())) {
		return
	}
	ticker := time.NewTicker(l.interval)
	defer ticker.Stop()
	for aligned := time.Now().Round(0); ; {
		var at time.Time
		at, aligned = align(time.Now().Round(0), aligned, l.interval)
		l.scrapeOnce(ctx, at, l.forcedError())
		select {
		case <-ctx.Done():
			return
		case <-l.stopped:
			l.endStale(ctx, ticker)
			return
		case <-ticker.C:
		}
	}
}

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

// align gives a scrape the time it should have had, if it is off by little:
// equal distances compress better in the database.
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

// endStale marks all series of the target stale, a little more than two
// intervals later: should the target come back meanwhile, under another loop,
// its samples are newer and the markers are not written.
func (l *loop) endStale(ctx context.Context, ticker *time.Ticker) {
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
	case <-time.After(l.interval / 10):
	}
	s := l.newScrape(ctx, at)
	s.fail()
	s.reportStale()
	if err := s.app.Commit(); err != nil {
		l.logger.Warn("Committing staleness markers failed", "err", err)
	}
}
