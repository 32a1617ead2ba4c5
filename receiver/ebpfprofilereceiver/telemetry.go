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

	samples   metric.Int64Counter
	dropped   metric.Int64Counter
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
	t.samples = counter("stacks", "{stacks}", "Different stacks of processes that were passed on.")
	t.dropped = counter("dropped_stacks", "{stacks}", "Different stacks of processes that relabel_configs drop.")
	t.unnamed = counter("unnamed_frames", "{frames}", "Different frames for which no name was found.")
	t.processes = gauge("processes", "{processes}", "Processes in the last profile.")
	t.symbols = gauge("symbol_cache_size", "By", "Memory that symbols of executables take.")
	return t, errors.Join(errs...)
}

// flushed counts what one period had.
func (t *telemetry) flushed(processes, stacks, dropped, unnamed, symbolBytes int) {
	ctx := context.Background()
	t.samples.Add(ctx, int64(stacks), t.self)
	t.dropped.Add(ctx, int64(dropped), t.self)
	t.unnamed.Add(ctx, int64(unnamed), t.self)
	t.processes.Record(ctx, int64(processes), t.self)
	t.symbols.Record(ctx, int64(symbolBytes), t.self)
}
