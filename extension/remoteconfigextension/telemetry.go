package remoteconfigextension

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadata"
)

// telemetry is what the extension says of itself, beside what remotepipelines
// says of the pipelines.
type telemetry struct {
	self metric.MeasurementOption // the attribute extension

	polls       metric.Int64Counter
	lastSuccess metric.Float64Gauge
	applies     metric.Int64Counter
	applied     metric.Int64Gauge
}

const prefix = "otelcol_remote_config_"

// The values of the attribute result.
const (
	resultSuccess = "success"
	resultFailure = "failure"

	resultApplied    = "applied"
	resultFailed     = "failed"
	resultSuperseded = "superseded"
)

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	t := &telemetry{self: metric.WithAttributeSet(attribute.NewSet(attribute.String("extension", id.String())))}
	var errs [4]error
	t.polls, errs[0] = m.Int64Counter(prefix+"polls", metric.WithUnit("{exchanges}"),
		metric.WithDescription("Exchanges with the configuration server, by result."))
	t.lastSuccess, errs[1] = m.Float64Gauge(prefix+"last_success_timestamp_seconds", metric.WithUnit("s"),
		metric.WithDescription("When the configuration server answered last, in seconds since 1970."))
	t.applies, errs[2] = m.Int64Counter(prefix+"applies", metric.WithUnit("{configurations}"),
		metric.WithDescription("Configurations received from the server, by what became of them."))
	t.applied, errs[3] = m.Int64Gauge(prefix+"applied",
		metric.WithDescription("Whether the configuration received last runs: 1 or 0."))
	return t, errors.Join(errs[:]...)
}

func (t *telemetry) polled(err error) {
	result := resultFailure
	if err == nil {
		result = resultSuccess
		t.lastSuccess.Record(context.Background(), float64(time.Now().UnixMilli())/1000, t.self)
	}
	t.polls.Add(context.Background(), 1, t.self, metric.WithAttributes(attribute.String("result", result)))
}

func (t *telemetry) decided(result string) {
	t.applies.Add(context.Background(), 1, t.self, metric.WithAttributes(attribute.String("result", result)))
}

func (t *telemetry) runs(applied bool) {
	var value int64
	if applied {
		value = 1
	}
	t.applied.Record(context.Background(), value, t.self)
}
