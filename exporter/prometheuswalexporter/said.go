package prometheuswalexporter

import (
	"time"

	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
)

// sayInterval is how often one thing is logged that can happen to every sample
// or request.
const sayInterval = time.Minute

// said is what is known of a text that has been logged.
type said struct {
	at    time.Time
	since int // events not logged since
}

// due counts n events of what text says, and reports whether to log it now and
// how many events that is for.
func (t *telemetry) due(text string, n int) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.said[text]
	if s == nil {
		s = &said{}
		t.said[text] = s
	}
	s.since += n
	now := time.Now()
	if !s.at.IsZero() && now.Sub(s.at) < sayInterval {
		return 0, false
	}
	n, s.since, s.at = s.since, 0, now
	return n, true
}

// NotAdmitted implements queue.Observer.
func (t *telemetry) NotAdmitted(reason string, n int, example func() string) {
	t.Dropped(reason, n)
	text := "Dropped samples older than the newest of their series, which Prometheus refuses; see out_of_order_time_window"
	if reason == queue.DropDuplicate {
		text = "Dropped samples with another value for a time that their series has a sample of"
	}
	if n, ok := t.due(text, n); ok {
		t.logger.Warn(text, zap.String("reason", reason), zap.Int("samples", n), zap.String("series", example()))
	}
}

// invalidHistogram counts and logs a native histogram that Prometheus refuses.
func (t *telemetry) invalidHistogram(why error, series func() string) {
	const text = "Dropped invalid native histograms"
	t.Dropped(dropInvalid, 1)
	if n, ok := t.due(text, 1); ok {
		t.logger.Warn(text, zap.Int("samples", n), zap.String("series", series()), zap.Error(why))
	}
}

// histogramOff counts and logs a native histogram that is not to be sent.
func (t *telemetry) histogramOff() {
	const text = "Dropped native histograms, as send_native_histograms is false"
	t.Dropped(dropHistogram, 1)
	if n, ok := t.due(text, 1); ok {
		t.logger.Info(text, zap.Int("samples", n))
	}
}

// AppendFailed implements queue.Observer.
func (t *telemetry) AppendFailed(err error) {
	const text = "Cannot write to the write-ahead log; samples are sent without it while the endpoint keeps up"
	t.add(t.appendFailures, 1)
	if n, ok := t.due(text, 1); ok {
		t.logger.Error(text, zap.Int("writes", n), zap.Error(err))
	}
}

// SaveFailed implements queue.Observer.
func (t *telemetry) SaveFailed(err error) {
	const text = "Cannot save how far the write-ahead log has been sent; after a restart some would be sent again"
	if _, ok := t.due(text, 1); ok {
		t.logger.Error(text, zap.Error(err))
	}
}

// DeleteFailed implements queue.Observer.
func (t *telemetry) DeleteFailed(err error) {
	const text = "Cannot delete from the write-ahead log"
	if _, ok := t.due(text, 1); ok {
		t.logger.Error(text, zap.Error(err))
	}
}

// lost counts and logs samples that the endpoint will not have.
func (t *telemetry) lost(reason string, n int, why error) {
	if n == 0 {
		return
	}
	t.Dropped(reason, n)
	text := "The endpoint refused samples for good; they are dropped"
	if reason == dropUnwritten {
		text = "The endpoint accepted samples, but says that it has not written all of them"
	}
	if n, ok := t.due(reason, n); ok {
		t.logger.Error(text, zap.String("reason", reason), zap.Int("samples", n), zap.Error(why))
	}
}
