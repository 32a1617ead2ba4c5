package pyroscopeexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/push"
)

// telemetry records the exporter's own metrics, beside those of exporterhelper.
// The pusher records those that it shares with other exporters.
type telemetry struct {
	metrics  *metadata.TelemetryBuilder
	exporter metric.MeasurementOption // the attribute
}

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	metrics, err := metadata.NewTelemetryBuilder(set)
	return &telemetry{metrics: metrics, exporter: metric.WithAttributeSet(attribute.NewSet(attribute.String("exporter", id.String())))}, err
}

// shared returns the metrics that the pusher records.
func (t *telemetry) shared() push.Metrics {
	return push.Metrics{
		Refused:         t.metrics.ExporterPyroscopeRefusedProfileSamples,
		Delayed:         t.metrics.ExporterPyroscopeDelayedRequests,
		Divided:         t.metrics.ExporterPyroscopeDividedRequests,
		RequestBytes:    t.metrics.ExporterPyroscopeRequestBytes,
		RequestDuration: t.metrics.ExporterPyroscopeRequestDuration,
	}
}

func (t *telemetry) sentProfiles(n int) {
	t.metrics.ExporterPyroscopeSentProfiles.Add(context.Background(), int64(n), t.exporter)
}

func (t *telemetry) conflictingLabels(n int) {
	if n > 0 {
		t.metrics.ExporterPyroscopeConflictingLabels.Add(context.Background(), int64(n), t.exporter)
	}
}

// profileBytes counts the messages of an answered request, before compression.
func (t *telemetry) profileBytes(n int) {
	t.metrics.ExporterPyroscopeProfileBytes.Add(context.Background(), int64(n), t.exporter)
}
