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

// telemetry is what the receiver says of itself beside receiverhelper.
type telemetry struct {
	self    metric.MeasurementOption // the attribute receiver
	dropped metric.Int64Counter
	// logger tells each reason once a minute.
	logger *zap.Logger
}

func newTelemetry(set receiver.Settings) (*telemetry, error) {
	dropped, err := set.MeterProvider.Meter(metadata.ScopeName).Int64Counter("otelcol_receiver_pyroscope_dropped_profile_samples",
		metric.WithUnit("{samples}"), metric.WithDescription("Samples left out of profiles that contradict themselves, by reason."))
	return &telemetry{
		self:    metric.WithAttributeSet(attribute.NewSet(attribute.String("receiver", set.ID.String()))),
		dropped: dropped,
		logger: set.Logger.WithOptions(zap.WrapCore(func(c zapcore.Core) zapcore.Core {
			return zapcore.NewSamplerWithOptions(c, time.Minute, 1, 0)
		})),
	}, err
}

// report counts the samples that were left out of a request's profiles.
func (r *pyroscopeReceiver) report(ctx context.Context, dropped pprofconv.Dropped) {
	for reason, n := range dropped {
		r.tel.dropped.Add(ctx, int64(n), r.tel.self, metric.WithAttributes(attribute.String("reason", string(reason))))
		r.tel.logger.Warn("Samples of a profile contradict it and are left out; the others are taken. Reason: "+string(reason), zap.Int("samples", n))
	}
}
