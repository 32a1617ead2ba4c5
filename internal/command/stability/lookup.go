package stability

import (
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/xconnector"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/collector/pipeline/xpipeline"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/xprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"
)

// Signals lists the collector's signals in the order tables show them.
var Signals = []pipeline.Signal{
	pipeline.SignalMetrics, pipeline.SignalLogs, pipeline.SignalTraces, xpipeline.SignalProfiles,
}

// levelOf returns the stability of u's component in u's role, or undefined if
// the binary does not have the component. Factory maps also hold deprecated
// aliases, so an alias is found like the name that replaced it.
func levelOf(f otelcol.Factories, u use) component.StabilityLevel {
	t := u.id.Type()
	switch u.section {
	case "receivers":
		if factory, ok := f.Receivers[t]; ok {
			return Receiver(factory, u.signal)
		}
	case "processors":
		if factory, ok := f.Processors[t]; ok {
			return Processor(factory, u.signal)
		}
	case "exporters":
		if factory, ok := f.Exporters[t]; ok {
			return Exporter(factory, u.signal)
		}
	case "connectors":
		if factory, ok := f.Connectors[t]; ok {
			return Connector(factory, u.signal, u.to)
		}
	case "extensions":
		if factory, ok := f.Extensions[t]; ok {
			return factory.Stability()
		}
	}
	return component.StabilityLevelUndefined
}

// threeSignals is implemented by receiver, processor and exporter factories.
type threeSignals interface {
	MetricsStability() component.StabilityLevel
	LogsStability() component.StabilityLevel
	TracesStability() component.StabilityLevel
}

func ofThree(f threeSignals, s pipeline.Signal) component.StabilityLevel {
	switch s {
	case pipeline.SignalMetrics:
		return f.MetricsStability()
	case pipeline.SignalLogs:
		return f.LogsStability()
	case pipeline.SignalTraces:
		return f.TracesStability()
	}
	return component.StabilityLevelUndefined
}

// Receiver returns a receiver's stability for a signal, undefined if it does not support it.
func Receiver(f receiver.Factory, s pipeline.Signal) component.StabilityLevel {
	if x, ok := f.(xreceiver.Factory); ok && s == xpipeline.SignalProfiles {
		return x.ProfilesStability()
	}
	return ofThree(f, s)
}

// Processor returns a processor's stability for a signal, undefined if it does not support it.
func Processor(f processor.Factory, s pipeline.Signal) component.StabilityLevel {
	if x, ok := f.(xprocessor.Factory); ok && s == xpipeline.SignalProfiles {
		return x.ProfilesStability()
	}
	return ofThree(f, s)
}

// Exporter returns an exporter's stability for a signal, undefined if it does not support it.
func Exporter(f exporter.Factory, s pipeline.Signal) component.StabilityLevel {
	if x, ok := f.(xexporter.Factory); ok && s == xpipeline.SignalProfiles {
		return x.ProfilesStability()
	}
	return ofThree(f, s)
}

// Connector returns a connector's stability between two signals, undefined if it does not join them.
func Connector(f connector.Factory, from, to pipeline.Signal) component.StabilityLevel {
	const (
		metrics = "metrics"
		logs    = "logs"
		traces  = "traces"
	)
	levels := map[[2]string]func() component.StabilityLevel{
		{metrics, metrics}: f.MetricsToMetricsStability,
		{metrics, logs}:    f.MetricsToLogsStability,
		{metrics, traces}:  f.MetricsToTracesStability,
		{logs, metrics}:    f.LogsToMetricsStability,
		{logs, logs}:       f.LogsToLogsStability,
		{logs, traces}:     f.LogsToTracesStability,
		{traces, metrics}:  f.TracesToMetricsStability,
		{traces, logs}:     f.TracesToLogsStability,
		{traces, traces}:   f.TracesToTracesStability,
	}
	if x, ok := f.(xconnector.Factory); ok {
		const profiles = "profiles"
		levels[[2]string{profiles, profiles}] = x.ProfilesToProfilesStability
		levels[[2]string{profiles, metrics}] = x.ProfilesToMetricsStability
		levels[[2]string{profiles, logs}] = x.ProfilesToLogsStability
		levels[[2]string{profiles, traces}] = x.ProfilesToTracesStability
		levels[[2]string{metrics, profiles}] = x.MetricsToProfilesStability
		levels[[2]string{logs, profiles}] = x.LogsToProfilesStability
		levels[[2]string{traces, profiles}] = x.TracesToProfilesStability
	}
	if level, ok := levels[[2]string{from.String(), to.String()}]; ok {
		return level()
	}
	return component.StabilityLevelUndefined
}
