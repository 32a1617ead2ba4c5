package remotepipelines

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/pcommon"
	servicetelemetry "go.opentelemetry.io/collector/service/telemetry"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines/labelledmetrics"
)

// PipelineKey is the attribute with the name of a remote pipeline. All metric points,
// log entries and instrumentation scopes of its components have it.
const PipelineKey = "remote_config.pipeline"

// componentKeys are the attributes by which the host's service marks the telemetry of
// the extension. They do not apply to the components of remote pipelines.
var componentKeys = []string{"otelcol.component.id", "otelcol.component.kind", "otelcol.signal", "otelcol.pipeline.id"}

// ownTelemetry returns the host's telemetry without the extension's attributes.
func ownTelemetry(set component.TelemetrySettings) component.TelemetrySettings {
	set.Logger = set.Logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		if dropper, is := core.(interface {
			DropInjectedAttributes(keys ...string) zapcore.Core
		}); is {
			return dropper.DropInjectedAttributes(componentKeys...)
		}
		return core
	}))
	if dropper, is := set.MeterProvider.(interface {
		DropInjectedAttributes(keys ...string) metric.MeterProvider
	}); is {
		set.MeterProvider = dropper.DropInjectedAttributes(componentKeys...)
	}
	if dropper, is := set.TracerProvider.(interface {
		DropInjectedAttributes(keys ...string) trace.TracerProvider
	}); is {
		set.TracerProvider = dropper.DropInjectedAttributes(componentKeys...)
	}
	return set
}

// metersFor returns the meters of one pipeline's service, which are the host's with
// the pipeline's attribute. sent counts what the exporters send.
func metersFor(host component.TelemetrySettings, pipeline string, sent *tally) *labelledmetrics.Provider {
	return labelledmetrics.New(labelledmetrics.Settings{
		Host:       host.MeterProvider,
		Attributes: []attribute.KeyValue{attribute.String(PipelineKey, pipeline)},
		Leave:      ofTheProcess,
		Watch:      sent.counter,
	})
}

// telemetryFor returns the telemetry of one pipeline's service, which is the host's
// with the pipeline's attribute.
func telemetryFor(host component.TelemetrySettings, pipeline string, sent *tally, meters *labelledmetrics.Provider) servicetelemetry.Factory {
	label := attribute.String(PipelineKey, pipeline)
	return servicetelemetry.NewFactory(func() component.Config { return &struct{}{} },
		servicetelemetry.WithCreateResource(func(context.Context, servicetelemetry.Settings, component.Config) (pcommon.Resource, error) {
			resource := pcommon.NewResource()
			host.Resource.CopyTo(resource)
			return resource, nil
		}),
		servicetelemetry.WithCreateLogger(func(context.Context, servicetelemetry.LoggerSettings, component.Config) (*zap.Logger, component.ShutdownFunc, error) {
			logger := host.Logger.With(zap.String(PipelineKey, pipeline))
			return logger.WithOptions(zap.WrapCore(sent.watch)), nil, nil
		}),
		servicetelemetry.WithCreateMeterProvider(func(context.Context, servicetelemetry.MeterSettings, component.Config) (servicetelemetry.MeterProvider, error) {
			return meters, nil
		}),
		servicetelemetry.WithCreateTracerProvider(func(context.Context, servicetelemetry.TracerSettings, component.Config) (servicetelemetry.TracerProvider, error) {
			return tracerProvider{TracerProvider: host.TracerProvider, label: label}, nil
		}),
	)
}

// ofTheProcess reports whether a metric is about the process. The host's service has
// these already.
func ofTheProcess(scope, instrument string) bool {
	return scope == "go.opentelemetry.io/collector/service" && strings.HasPrefix(instrument, "otelcol_process_")
}

type tracerProvider struct {
	trace.TracerProvider
	label attribute.KeyValue
}

func (p tracerProvider) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	config := trace.NewTracerConfig(options...)
	set := config.InstrumentationAttributes()
	return p.TracerProvider.Tracer(name, append(slices.Clone(options),
		trace.WithInstrumentationAttributes(append(set.ToSlice(), p.label)...))...)
}

// Unwrap returns the host's provider, for components that need the SDK.
func (p tracerProvider) Unwrap() trace.TracerProvider { return p.TracerProvider }

// Shutdown does nothing: the provider is the host's.
func (tracerProvider) Shutdown(context.Context) error { return nil }

// complete sets what a host may leave nil.
func complete(set component.TelemetrySettings) component.TelemetrySettings {
	if set.Logger == nil {
		set.Logger = zap.NewNop()
	}
	if set.MeterProvider == nil {
		set.MeterProvider = noopmetric.NewMeterProvider()
	}
	if set.TracerProvider == nil {
		set.TracerProvider = nooptrace.NewTracerProvider()
	}
	if set.Resource == (pcommon.Resource{}) {
		set.Resource = pcommon.NewResource()
	}
	return set
}
