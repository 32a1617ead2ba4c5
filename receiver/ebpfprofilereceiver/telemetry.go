package ebpfprofilereceiver

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
)

// telemetry records the receiver's own metrics. The profiler has metrics of its own.
type telemetry struct {
	metrics *metadata.TelemetryBuilder
	common  metric.MeasurementOption // the attribute receiver
}

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	metrics, err := metadata.NewTelemetryBuilder(set)
	return &telemetry{
		metrics: metrics,
		common:  metric.WithAttributeSet(attribute.NewSet(attribute.String("receiver", id.String()))),
	}, err
}

// periodStats counts what one period contained.
type periodStats struct {
	processes    int
	stacks       int // passed on
	dropped      int // stacks dropped by relabel_configs
	lost         int // samples
	unnamed      int // frames
	symbolsBytes int // memory of the symbol cache now
}

// record adds the counts of a period.
func (t *telemetry) record(s periodStats) {
	ctx := context.Background()
	t.metrics.ReceiverEbpfProfileStacks.Add(ctx, int64(s.stacks), t.common)
	t.metrics.ReceiverEbpfProfileDroppedStacks.Add(ctx, int64(s.dropped), t.common)
	t.metrics.ReceiverEbpfProfileLostSamples.Add(ctx, int64(s.lost), t.common)
	t.metrics.ReceiverEbpfProfileUnnamedFrames.Add(ctx, int64(s.unnamed), t.common)
	t.metrics.ReceiverEbpfProfileProcesses.Record(ctx, int64(s.processes), t.common)
	t.metrics.ReceiverEbpfProfileSymbolCacheSize.Record(ctx, int64(s.symbolsBytes), t.common)
}
