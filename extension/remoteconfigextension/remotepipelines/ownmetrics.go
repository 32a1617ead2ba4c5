package remotepipelines

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
)

const scopeName = "github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"

// ownMetrics are the metrics of a Runner. They have a scope of their own, which is why
// they are not declared in the extension's metadata.yaml.
type ownMetrics struct {
	running   metric.Registration
	switching metric.Float64Histogram
	rollbacks metric.Int64Counter
}

// newOwnMetrics registers the metrics. An error goes to the otel error handler,
// because it must not fail a pipeline.
func newOwnMetrics(set component.TelemetrySettings, running func() int64) *ownMetrics {
	m := set.MeterProvider.Meter(scopeName)
	var own ownMetrics
	gauge, err := m.Int64ObservableGauge("otelcol_remote_config_pipelines", metric.WithUnit("{pipelines}"),
		metric.WithDescription("Remote pipelines that run."))
	if err == nil {
		own.running, err = m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
			o.ObserveInt64(gauge, running())
			return nil
		}, gauge)
	}
	if err != nil {
		otel.Handle(err)
		own.running = noop.Registration{}
	}
	own.switching, err = m.Float64Histogram("otelcol_remote_config_switch_duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the start of the first new pipeline until the last replaced one has stopped."),
		metric.WithExplicitBucketBoundaries(.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60))
	if err != nil {
		otel.Handle(err)
	}
	own.rollbacks, err = m.Int64Counter("otelcol_remote_config_rollbacks", metric.WithUnit("{rollbacks}"),
		metric.WithDescription("Sets of remote pipelines that were begun and taken back, by the stage that failed."))
	if err != nil {
		otel.Handle(err)
	}
	return &own
}

func (o *ownMetrics) switched(took time.Duration) {
	o.switching.Record(context.Background(), took.Seconds())
}

func (o *ownMetrics) rolledBack(stage Stage) {
	o.rollbacks.Add(context.Background(), 1, metric.WithAttributes(attribute.String("stage", string(stage))))
}

func (o *ownMetrics) shutdown() error { return o.running.Unregister() }
