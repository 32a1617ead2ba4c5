package collector

import (
	"time"

	"github.com/invar-otel/invar/internal/reloading"
)

const (
	// minRepeatGap is the least time between two reloads by request that change
	// nothing. Whoever may ask could otherwise keep the receivers from receiving.
	minRepeatGap = 10 * time.Second
	// repeatShare is how much longer than such a reload has interrupted the
	// receivers the gap is.
	repeatShare = 20
)

// repeats bounds how often the configuration that runs is started again because
// somebody asks for it. SIGHUP, which needs the rights of the process, is not
// bounded, and a configuration that has changed is not.
type repeats struct {
	minGap time.Duration

	restarted   time.Time     // when the same configuration was started again by request
	interrupted time.Duration // for how long by that
}

func bounded(t reloading.Trigger) bool { return t != reloading.Signal && !t.Watches() }

// tooEarly reports whether the configuration that runs need not be started again.
func (r *repeats) tooEarly(t reloading.Trigger) bool {
	return bounded(t) && !r.restarted.IsZero() && time.Since(r.restarted) < max(r.minGap, repeatShare*r.interrupted)
}
