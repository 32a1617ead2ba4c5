package collector

import (
	"time"

	"github.com/invar-otel/invar/internal/reloading"
)

const (
	// minRepeatGap is the least time between two requested reloads that change
	// nothing. Without it a client could keep the receivers from receiving.
	minRepeatGap = 10 * time.Second
	// repeatShare is the least ratio of that gap to the time for which the previous
	// such reload interrupted the receivers.
	repeatShare = 20
)

// repeats limits how often a request restarts an unchanged configuration. SIGHUP is
// not limited, because it needs the rights of the process.
type repeats struct {
	minGap time.Duration

	restarted   time.Time     // when a request last restarted an unchanged configuration
	interrupted time.Duration // for how long nothing was received then
}

// bounded reports whether reloads of a trigger are limited.
func bounded(t reloading.Trigger) bool { return t != reloading.Signal && !t.Watches() }

// tooEarly reports whether a request comes too early to restart an unchanged
// configuration.
func (r *repeats) tooEarly(t reloading.Trigger) bool {
	return bounded(t) && !r.restarted.IsZero() && time.Since(r.restarted) < max(r.minGap, repeatShare*r.interrupted)
}
