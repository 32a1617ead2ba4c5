package prometheuswalexporter

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
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

// telemetry is what the exporter says of itself. Names without prefix are
// those exporterhelper uses.
type telemetry struct {
	logger *zap.Logger
	status *healthstatus.Reporter
	meter  metric.Meter
	self   metric.MeasurementOption // the attribute exporter
	id     attribute.KeyValue

	sent, failed             metric.Int64Counter
	droppedSamples           metric.Int64Counter
	droppedExemplarCount     metric.Int64Counter
	replayedSamples          metric.Int64Counter
	damagedRecords           metric.Int64Counter
	appendFailures           metric.Int64Counter
	notLoggedSamples         metric.Int64Counter
	untranslatedBatches      metric.Int64Counter
	untranslatedItems        metric.Int64Counter
	retries                  metric.Int64Counter
	divided                  metric.Int64Counter
	requestDuration          metric.Float64Histogram
	requestBytes             metric.Int64Counter
	walBytes, walSegments    metric.Int64ObservableGauge
	oldestUnsent             metric.Float64ObservableGauge
	shardCount, seriesCount  metric.Int64ObservableGauge
	queueSize, queueCapacity metric.Int64ObservableGauge
	registration             metric.Registration

	mu   sync.Mutex
	said map[string]*said // by text; the texts are few
}

const prefix = "otelcol_exporter_prometheus_wal_"

// observed is what gauges ask for.
type observed struct {
	walBytes      int64
	walSegments   int
	oldestUnsent  time.Duration
	series        int
	queueSize     int
	queueCapacity int
	shards        int
}

func newTelemetry(set component.TelemetrySettings, id component.ID, status *healthstatus.Reporter) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	kv := attribute.String("exporter", id.String())
	t := &telemetry{logger: set.Logger, status: status, meter: m, id: kv, self: metric.WithAttributeSet(attribute.NewSet(kv)), said: make(map[string]*said)}
	var errs []error
	counter := func(name, unit, text string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, unit, text string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	t.sent = counter("otelcol_exporter_sent_metric_points", "{datapoints}", "Number of metric points successfully sent to destination.")
	t.failed = counter("otelcol_exporter_send_failed_metric_points", "{datapoints}", "Number of metric points in failed attempts to send to destination.")
	t.droppedSamples = counter(prefix+"dropped_samples", "{samples}", "Samples that will not be delivered, by reason.")
	t.droppedExemplarCount = counter(prefix+"dropped_exemplars", "{exemplars}", "Exemplars that will not be delivered, by reason.")
	t.replayedSamples = counter(prefix+"replayed_samples", "{samples}", "Samples read back from the log.")
	t.damagedRecords = counter(prefix+"damaged_records", "{records}", "Parts of the log that could not be read.")
	t.appendFailures = counter(prefix+"append_failures", "{records}", "Writes to the log that failed.")
	t.notLoggedSamples = counter(prefix+"not_logged_samples", "{samples}", "Samples passed to the queues without being in the log.")
	t.untranslatedBatches = counter(prefix+"untranslated_batches", "{batches}", "OTLP batches of which a part has no Prometheus translation.")
	t.untranslatedItems = counter(prefix+"untranslated_items", "{items}", "Data points, exemplars and attributes of OTLP metrics that have no Prometheus translation, by reason.")
	t.retries = counter(prefix+"retries", "{requests}", "Requests that were sent again.")
	t.divided = counter(prefix+"divided_requests", "{requests}", "Parts of refused requests sent to find the samples at fault.")
	t.requestBytes = counter(prefix+"request_bytes", "By", "Compressed bytes of the requests that were answered.")
	var err error
	t.requestDuration, err = m.Float64Histogram(prefix+"request_duration", metric.WithUnit("s"),
		metric.WithDescription("Time until the endpoint answered."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	errs = append(errs, err)
	t.walBytes = gauge(prefix+"size", "By", "Size of the log.")
	t.walSegments = gauge(prefix+"segments", "{segments}", "Segments of the log.")
	t.oldestUnsent, err = m.Float64ObservableGauge(prefix+"oldest_unsent_age", metric.WithUnit("s"),
		metric.WithDescription("Age of the oldest sample that is not acknowledged, 0 if none waits."))
	errs = append(errs, err)
	t.shardCount = gauge(prefix+"shards", "{shards}", "Requests that can be under way at a time.")
	t.seriesCount = gauge(prefix+"series", "{series}", "Series the exporter knows.")
	t.queueSize = gauge("otelcol_exporter_queue_size", "{items}", "Current size of the retry queue.")
	t.queueCapacity = gauge("otelcol_exporter_queue_capacity", "{items}", "Fixed capacity of the retry queue.")
	return t, errors.Join(errs...)
}

// observeWith makes the gauges ask observe from now on, until close.
func (t *telemetry) observeWith(observe func() observed) error {
	var err error
	t.registration, err = t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		v := observe()
		o.ObserveInt64(t.walBytes, v.walBytes, t.self)
		o.ObserveInt64(t.walSegments, int64(v.walSegments), t.self)
		o.ObserveFloat64(t.oldestUnsent, v.oldestUnsent.Seconds(), t.self)
		o.ObserveInt64(t.shardCount, int64(v.shards), t.self)
		o.ObserveInt64(t.seriesCount, int64(v.series), t.self)
		o.ObserveInt64(t.queueSize, int64(v.queueSize), t.self)
		o.ObserveInt64(t.queueCapacity, int64(v.queueCapacity), t.self)
		return nil
	}, t.walBytes, t.walSegments, t.oldestUnsent, t.shardCount, t.seriesCount, t.queueSize, t.queueCapacity)
	return err
}

func (t *telemetry) close() error {
	if t.registration == nil {
		return nil
	}
	return t.registration.Unregister()
}

func (t *telemetry) add(c metric.Int64Counter, n int) {
	if n > 0 {
		c.Add(context.Background(), int64(n), t.self)
	}
}

// Dropped implements queue.Observer.
func (t *telemetry) Dropped(reason string, n int) {
	if n > 0 {
		t.droppedSamples.Add(context.Background(), int64(n), t.self, metric.WithAttributes(attribute.String("reason", reason)))
	}
}

// DroppedExemplars implements queue.Observer.
func (t *telemetry) DroppedExemplars(reason string, n int) {
	if n > 0 {
		t.droppedExemplarCount.Add(context.Background(), int64(n), t.self, metric.WithAttributes(attribute.String("reason", reason)))
	}
}

func (t *telemetry) retried()        { t.add(t.retries, 1) }
func (t *telemetry) dividedRequest() { t.add(t.divided, 1) }

// Replayed implements queue.Observer.
func (t *telemetry) Replayed(samples int) { t.add(t.replayedSamples, samples) }

// Damaged implements queue.Observer.
func (t *telemetry) Damaged(records int) { t.add(t.damagedRecords, records) }

// NotLogged implements queue.Observer.
func (t *telemetry) NotLogged(samples int) { t.add(t.notLoggedSamples, samples) }

// LogHealth implements queue.Observer.
func (t *telemetry) LogHealth(err error) {
	if err != nil {
		t.status.Failing(reasonLog, err)
	} else {
		t.status.Healthy(reasonLog)
	}
}

// untranslated counts a batch of which a part was lost. Samples that the
// appender refused are in droppedSamples.
func (t *telemetry) untranslated(losses translate.Losses) {
	t.add(t.untranslatedBatches, 1)
	for _, l := range losses {
		if l.Reason != translate.Refused {
			t.untranslatedItems.Add(context.Background(), int64(l.Items), t.self,
				metric.WithAttributes(attribute.String("reason", string(l.Reason))))
		}
	}
}

func (t *telemetry) sentPoints(c remotewrite.Counts)   { t.add(t.sent, c.Points()) }
func (t *telemetry) failedPoints(c remotewrite.Counts) { t.add(t.failed, c.Points()) }

func (t *telemetry) answered(took time.Duration, bytes int, status int) {
	t.requestDuration.Record(context.Background(), took.Seconds(), t.self,
		metric.WithAttributes(attribute.Int("http.response.status_code", status)))
	t.add(t.requestBytes, bytes)
}
