package collector

import (
	"context"
	"errors"
	"maps"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/service/telemetry"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/invar-otel/invar/internal/reloading"
)

const scopeName = "github.com/invar-otel/invar/internal/collector"

// telemetryFactory makes the providers of a generation as the factory in it does,
// and adds the metrics about reloads.
type telemetryFactory struct {
	telemetry.Factory
	controller *controller
}

// CreateMeterProvider implements telemetry.Factory.
func (f telemetryFactory) CreateMeterProvider(ctx context.Context, set telemetry.MeterSettings, cfg component.Config) (telemetry.MeterProvider, error) {
	p, err := f.Factory.CreateMeterProvider(ctx, set, cfg)
	if err != nil {
		return p, err
	}
	if err := f.controller.register(p); err != nil {
		return nil, errors.Join(err, p.Shutdown(ctx))
	}
	return p, nil
}

// register exposes the counts with the meter of a service. The counts outlive the
// service. internal/collector has no metadata.yaml, so its metrics are not generated.
func (c *controller) register(p metric.MeterProvider) error {
	m := p.Meter(scopeName)
	reloads, err1 := m.Int64ObservableCounter("otelcol_config_reloads", metric.WithUnit("{reloads}"),
		metric.WithDescription("Reloads of the configuration by result (applied, rejected, rolled_back) and trigger."))
	successful, err2 := m.Int64ObservableGauge("otelcol_config_last_reload_successful", metric.WithUnit("1"),
		metric.WithDescription("1 if the last reload of the configuration was applied, or there was none; else 0."))
	timestamp, err3 := m.Float64ObservableGauge("otelcol_config_last_reload_success_timestamp_seconds", metric.WithUnit("s"),
		metric.WithDescription("When the last successful load of the configuration took effect, as Unix time."))
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	_, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for key, n := range maps.All(c.counts) {
			o.ObserveInt64(reloads, n, metric.WithAttributes(
				attribute.String("result", string(key.result)), attribute.String("trigger", string(key.trigger))))
		}
		var success int64 = 1
		if a := c.status.LastAttempt; a != nil && a.Err != nil {
			success = 0
		}
		o.ObserveInt64(successful, success)
		if !c.lastSuccess.IsZero() {
			o.ObserveFloat64(timestamp, float64(c.lastSuccess.UnixMilli())/1e3)
		}
		return nil
	}, reloads, successful, timestamp)
	return err
}

var _ reloading.Controller = (*controller)(nil)
