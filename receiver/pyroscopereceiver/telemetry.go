package pyroscopereceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pyroscopereceiver/internal/metadata"
)

// telemetry records the receiver's own metrics, beside those of receiverhelper.
type telemetry struct {
	metrics *metadata.TelemetryBuilder
	common  metric.MeasurementOption // the attribute receiver
	// logger logs each message once a minute.
	logger *zap.Logger
}

func newTelemetry(set receiver.Settings) (*telemetry, error) {
	metrics, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	return &telemetry{
		metrics: metrics,
		common:  metric.WithAttributeSet(attribute.NewSet(attribute.String("receiver", set.ID.String()))),
		logger: set.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0)
		})),
	}, err
}

// dropped counts and logs samples that were left out of a request's profiles.
func (t *telemetry) dropped(ctx context.Context, samples pprofconv.Dropped) {
	for reason, n := range samples {
		t.metrics.ReceiverPyroscopeDroppedProfileSamples.Add(ctx, int64(n), t.common,
			metric.WithAttributes(attribute.String("reason", string(reason))))
		t.logger.Warn("Samples of a profile contradict it and are left out; the others are taken. Reason: "+string(reason), zap.Int("samples", n))
	}
}
