package ebpfprofilereceiver

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/metadata"
)

// telemetry is what the receiver says of itself. The profiler has metrics of its
// own.
type telemetry struct {
	self metric.MeasurementOption // the attribute receiver

	stacks    metric.Int64Counter
	dropped   metric.Int64Counter
	lost      metric.Int64Counter
	unnamed   metric.Int64Counter
	processes metric.Int64Gauge
	symbols   metric.Int64Gauge
}

const prefix = "otelcol_receiver_ebpf_profile_"

func newTelemetry(set component.TelemetrySettings, id component.ID) (*telemetry, error) {
	m := set.MeterProvider.Meter(metadata.ScopeName)
	t := &telemetry{self: metric.WithAttributeSet(attribute.NewSet(attribute.String("receiver", id.String())))}
	var errs []error
	counter := func(name, unit, text string) metric.Int64Counter {
		c, err := m.Int64Counter(prefix+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, unit, text string) metric.Int64Gauge {
		g, err := m.Int64Gauge(prefix+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	t.stacks = counter("stacks", "{stacks}", "Different stacks of processes that were passed on.")
	t.dropped = counter("dropped_stacks", "{stacks}", "Different stacks of processes that relabel_configs drop.")
	t.lost = counter("lost_samples", "{samples}", "Samples for which there was no room, as the pipeline did not take the profile before.")
	t.unnamed = counter("unnamed_frames", "{frames}", "Different frames for which no name was found.")
	t.processes = gauge("processes", "{processes}", "Processes in the last profile.")
	t.symbols = gauge("symbol_cache_size", "By", "Memory that symbols of executables take.")
	return t, errors.Join(errs...)
}

// flush is what one period had.
type flush struct {
	processes, stacks, dropped, lost, unnamed int
	symbols                                   int // bytes
}

func (t *telemetry) flushed(f flush) {
	ctx := context.Background()
	t.stacks.Add(ctx, int64(f.stacks), t.self)
	t.dropped.Add(ctx, int64(f.dropped), t.self)
	t.lost.Add(ctx, int64(f.lost), t.self)
	t.unnamed.Add(ctx, int64(f.unnamed), t.self)
	t.processes.Record(ctx, int64(f.processes), t.self)
	t.symbols.Record(ctx, int64(f.symbols), t.self)
}
