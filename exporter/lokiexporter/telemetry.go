package lokiexporter

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/lokiexporter/internal/refusal"
)

// telemetry is what the exporter says of itself, beside what exporterhelper says
// of its queue and of sent and failed records.
type telemetry struct {
	self metric.MeasurementOption // the attribute exporter

	refused         metric.Int64Counter
	delayed         metric.Int64Counter
	divided         metric.Int64Counter
	requestBytes    metric.Int64Counter
	requestDuration metric.Float64Histogram
}

const prefix = "otelcol_exporter_loki_"

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	t := &telemetry{self: metric.WithAttributeSet(attribute.NewSet(attribute.String("exporter", id.String())))}
	var errs []error
	counter := func(name, unit, text string) metric.Int64Counter {
		c, err := m.Int64Counter(prefix+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	t.refused = counter("refused_log_records", "{records}", "Log records that Loki will not take and that are dropped, by Loki's reason.")
	t.delayed = counter("delayed_requests", "{requests}", "Requests that Loki did not take for now, by Loki's reason.")
	t.divided = counter("divided_requests", "{requests}", "Parts of refused requests sent to find the records at fault.")
	t.requestBytes = counter("request_bytes", "By", "Bytes of the bodies of the requests that were answered.")
	var err error
	t.requestDuration, err = m.Float64Histogram(prefix+"request_duration", metric.WithUnit("s"),
		metric.WithDescription("Time until Loki answered."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	return t, errors.Join(append(errs, err)...)
}

func (t *telemetry) refusedRecords(reason refusal.Reason, n int) {
	t.refused.Add(context.Background(), int64(n), t.self, metric.WithAttributes(attribute.String("reason", string(reason))))
}

func (t *telemetry) delayedRequest(reason refusal.Reason) {
	t.delayed.Add(context.Background(), 1, t.self, metric.WithAttributes(attribute.String("reason", string(reason))))
}

func (t *telemetry) dividedRequest() { t.divided.Add(context.Background(), 1, t.self) }

func (t *telemetry) answered(took time.Duration, bytes, status int) {
	t.requestDuration.Record(context.Background(), took.Seconds(), t.self,
		metric.WithAttributes(attribute.Int("http.response.status_code", status)))
	t.requestBytes.Add(context.Background(), int64(bytes), t.self)
}
