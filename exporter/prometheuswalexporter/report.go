package prometheuswalexporter

import (
	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
)

// NotAdmitted implements queue.Observer.
func (t *telemetry) NotAdmitted(reason string, n int, example func() string) {
	t.Dropped(reason, n)
	text := "Dropped samples older than the newest of their series, which Prometheus refuses; see out_of_order_time_window"
	if reason == queue.DropDuplicate {
		text = "Dropped samples with another value for a time that their series has a sample of"
	}
	if n, ok := t.log.due(text, n); ok {
		t.log.logger.Warn(text, zap.String("reason", reason), zap.Int("samples", n), zap.String("series", example()))
	}
}

// invalidHistogram counts and logs a native histogram that Prometheus refuses.
func (t *telemetry) invalidHistogram(why error, series func() string) {
	const text = "Dropped invalid native histograms"
	t.Dropped(dropInvalid, 1)
	if n, ok := t.log.due(text, 1); ok {
		t.log.logger.Warn(text, zap.Int("samples", n), zap.String("series", series()), zap.Error(why))
	}
}

// histogramOff counts and logs a native histogram that is not sent because of
// send_native_histograms.
func (t *telemetry) histogramOff() {
	const text = "Dropped native histograms, as send_native_histograms is false"
	t.Dropped(dropHistogram, 1)
	if n, ok := t.log.due(text, 1); ok {
		t.log.logger.Info(text, zap.Int("samples", n))
	}
}

// AppendFailed implements queue.Observer.
func (t *telemetry) AppendFailed(err error) {
	const text = "Cannot write to the write-ahead log; samples are sent without it while the endpoint keeps up"
	t.add(t.metrics.ExporterPrometheusWalAppendFailures, 1)
	if n, ok := t.log.due(text, 1); ok {
		t.log.logger.Error(text, zap.Int("writes", n), zap.Error(err))
	}
}

// SaveFailed implements queue.Observer.
func (t *telemetry) SaveFailed(err error) {
	const text = "Cannot save how far the write-ahead log has been sent; after a restart some would be sent again"
	if _, ok := t.log.due(text, 1); ok {
		t.log.logger.Error(text, zap.Error(err))
	}
}

// DeleteFailed implements queue.Observer.
func (t *telemetry) DeleteFailed(err error) {
	const text = "Cannot delete from the write-ahead log"
	if _, ok := t.log.due(text, 1); ok {
		t.log.logger.Error(text, zap.Error(err))
	}
}

// lost counts and logs samples that the endpoint refused or did not write.
func (t *telemetry) lost(reason string, n int, why error) {
	if n == 0 {
		return
	}
	t.Dropped(reason, n)
	text := "The endpoint refused samples for good; they are dropped"
	if reason == dropUnwritten {
		text = "The endpoint accepted samples, but says that it has not written all of them"
	}
	if n, ok := t.log.due(reason, n); ok {
		t.log.logger.Error(text, zap.String("reason", reason), zap.Int("samples", n), zap.Error(why))
	}
}
