package prometheuswalexporter

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/collector/config/configretry"
)

// pauses are the pauses between the attempts of one request. None is shorter than
// the one before.
type pauses struct {
	cfg   *configretry.BackOffConfig
	grows *backoff.ExponentialBackOff
	last  time.Duration
	slow  time.Duration // of nextSlow
}

func newPauses(cfg *configretry.BackOffConfig) *pauses {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = cfg.InitialInterval, cfg.MaxInterval
	b.Multiplier, b.RandomizationFactor = cfg.Multiplier, cfg.RandomizationFactor
	b.Reset()
	return &pauses{cfg: cfg, grows: b, slow: cfg.MaxInterval}
}

// next returns the next pause.
func (p *pauses) next() time.Duration {
	p.last = max(p.last, min(p.grows.NextBackOff(), p.cfg.MaxInterval))
	return p.last
}

// slowest bounds the slow pauses, as a multiple of the longest usual one.
const slowest = 6

// nextSlow returns the next pause if a retry helps only after somebody has fixed
// the set-up.
func (p *pauses) nextSlow() time.Duration {
	this := p.slow
	p.slow = min(2*p.slow, slowest*p.cfg.MaxInterval)
	return this + time.Duration(rand.Float64()*float64(this)/10)
}
