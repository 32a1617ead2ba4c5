package remoteconfigextension

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadata"
)

// telemetry records the extension's own metrics, beside those of remotepipelines.
type telemetry struct {
	metrics *metadata.TelemetryBuilder
	common  metric.MeasurementOption // the attribute extension
}

// The values of the attribute result.
const (
	resultSuccess = "success"
	resultFailure = "failure"

	resultApplied    = "applied"
	resultFailed     = "failed"
	resultSuperseded = "superseded"
)

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	metrics, err := metadata.NewTelemetryBuilder(set)
	return &telemetry{
		metrics: metrics,
		common:  metric.WithAttributeSet(attribute.NewSet(attribute.String("extension", id.String()))),
	}, err
}

// recordPoll counts an exchange with the server; err is nil if the server answered.
func (t *telemetry) recordPoll(err error) {
	result := resultFailure
	if err == nil {
		result = resultSuccess
		t.metrics.RemoteConfigLastSuccessTimestampSeconds.Record(context.Background(), float64(time.Now().UnixMilli())/1000, t.common)
	}
	t.metrics.RemoteConfigPolls.Add(context.Background(), 1, t.common, metric.WithAttributes(attribute.String("result", result)))
}

// recordOutcome counts a configuration of the server by what became of it.
func (t *telemetry) recordOutcome(result string) {
	t.metrics.RemoteConfigApplies.Add(context.Background(), 1, t.common, metric.WithAttributes(attribute.String("result", result)))
}

// recordApplied notes whether the configuration received last runs.
func (t *telemetry) recordApplied(applied bool) {
	var value int64
	if applied {
		value = 1
	}
	t.metrics.RemoteConfigApplied.Record(context.Background(), value, t.common)
}
