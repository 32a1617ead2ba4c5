package prometheuswalexporter

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/translate"
	"github.com/invar-otel/invar/internal/healthstatus"
)

// Why samples are dropped, besides the reasons of the queue: values of the
// attribute reason.
const (
	dropHistogram   = "histograms_off" // send_native_histograms: false
	dropInvalid     = "invalid_histogram"
	dropUnwritten   = "not_written"    // the endpoint accepted the request, but says it wrote less
	dropNoSeries    = "invalid_labels" // see checkLabels
	dropRefusedBase = "refused_"       // by the endpoint, with the HTTP status

	dropInvalidExemplar = "invalid" // of exemplars: see isValidExemplar
)

// telemetry records the exporter's own metrics and logs what happens to samples.
// It is safe for concurrent use, and the queue's Observer.
type telemetry struct {
	metrics *metadata.TelemetryBuilder
	self    metric.MeasurementOption // the attribute exporter
	status  *healthstatus.Reporter
	log     *throttledLog
}

var _ queue.Observer = (*telemetry)(nil)

func newTelemetry(set component.TelemetrySettings, id component.ID, status *healthstatus.Reporter) (*telemetry, error) {
	metrics, err := metadata.NewTelemetryBuilder(set)
	return &telemetry{
		metrics: metrics,
		self:    metric.WithAttributeSet(attribute.NewSet(attribute.String("exporter", id.String()))),
		status:  status,
		log:     newThrottledLog(set.Logger),
	}, err
}

// observe makes the gauges show the queue and the series, until close.
func (t *telemetry) observe(q *queue.Queue, shards int, series func() int, now func() time.Time) error {
	m := t.metrics
	gauge := func(register func(metric.Int64Callback) error, value func() int64) error {
		return register(func(_ context.Context, o metric.Int64Observer) error {
			o.Observe(value(), t.self)
			return nil
		})
	}
	return errors.Join(
		gauge(m.RegisterExporterQueueSizeCallback, func() int64 { return int64(q.Stats().Waiting) }),
		gauge(m.RegisterExporterQueueCapacityCallback, func() int64 { return int64(q.Stats().Capacity) }),
		gauge(m.RegisterExporterPrometheusWalSizeCallback, func() int64 { return q.Stats().Log.Bytes }),
		gauge(m.RegisterExporterPrometheusWalSegmentsCallback, func() int64 { return int64(q.Stats().Log.Segments) }),
		gauge(m.RegisterExporterPrometheusWalSeriesCallback, func() int64 { return int64(series()) }),
		gauge(m.RegisterExporterPrometheusWalShardsCallback, func() int64 { return int64(shards) }),
		m.RegisterExporterPrometheusWalOldestUnsentAgeCallback(func(_ context.Context, o metric.Float64Observer) error {
			var age time.Duration
			if oldest := q.Stats().Oldest; !oldest.IsZero() {
				age = max(0, now().Sub(oldest))
			}
			o.Observe(age.Seconds(), t.self)
			return nil
		}),
	)
}

func (t *telemetry) close() { t.metrics.Shutdown() }

func (t *telemetry) add(c metric.Int64Counter, n int) {
	if n > 0 {
		c.Add(context.Background(), int64(n), t.self)
	}
}

func (t *telemetry) addFor(reason string, c metric.Int64Counter, n int) {
	if n > 0 {
		c.Add(context.Background(), int64(n), t.self, metric.WithAttributes(attribute.String("reason", reason)))
	}
}

// Dropped implements queue.Observer.
func (t *telemetry) Dropped(reason string, samples int) {
	t.addFor(reason, t.metrics.ExporterPrometheusWalDroppedSamples, samples)
}

// DroppedExemplars implements queue.Observer.
func (t *telemetry) DroppedExemplars(reason string, exemplars int) {
	t.addFor(reason, t.metrics.ExporterPrometheusWalDroppedExemplars, exemplars)
}

// Replayed implements queue.Observer.
func (t *telemetry) Replayed(samples int) {
	t.add(t.metrics.ExporterPrometheusWalReplayedSamples, samples)
}

// Damaged implements queue.Observer.
func (t *telemetry) Damaged(records int) {
	t.add(t.metrics.ExporterPrometheusWalDamagedRecords, records)
}

// NotLogged implements queue.Observer.
func (t *telemetry) NotLogged(samples int) {
	t.add(t.metrics.ExporterPrometheusWalNotLoggedSamples, samples)
}

// LogHealth implements queue.Observer.
func (t *telemetry) LogHealth(err error) {
	if err != nil {
		t.status.Failing(reasonLog, err)
	} else {
		t.status.Healthy(reasonLog)
	}
}

// untranslated counts a batch of which a part was lost. Samples that the
// appender refused are counted as dropped instead.
func (t *telemetry) untranslated(losses translate.Losses) {
	t.add(t.metrics.ExporterPrometheusWalUntranslatedBatches, 1)
	for _, l := range losses {
		if l.Reason != translate.Refused {
			t.addFor(string(l.Reason), t.metrics.ExporterPrometheusWalUntranslatedItems, l.Items)
		}
	}
}

func (t *telemetry) retried()        { t.add(t.metrics.ExporterPrometheusWalRetries, 1) }
func (t *telemetry) dividedRequest() { t.add(t.metrics.ExporterPrometheusWalDividedRequests, 1) }

func (t *telemetry) sentPoints(c remotewrite.Counts) {
	t.add(t.metrics.ExporterSentMetricPoints, c.Points())
}

func (t *telemetry) failedPoints(c remotewrite.Counts) {
	t.add(t.metrics.ExporterSendFailedMetricPoints, c.Points())
}

// answered records a request. status is 0 if there was no answer.
func (t *telemetry) answered(took time.Duration, bytes int, status int) {
	t.metrics.ExporterPrometheusWalRequestDuration.Record(context.Background(), took.Seconds(), t.self,
		metric.WithAttributes(attribute.Int("http.response.status_code", status)))
	t.add(t.metrics.ExporterPrometheusWalRequestBytes, bytes)
}
