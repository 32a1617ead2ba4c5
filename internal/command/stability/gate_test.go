package stability

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/xconnector"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/processor"
	"go.opentelemetry.io/collector/processor/xprocessor"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/xreceiver"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testFactories has a component of each kind, all called "mixed": stable for
// metrics, beta for logs, alpha for traces, development for profiles.
func testFactories() (otelcol.Factories, error) {
	mixed := component.MustNewType("mixed")
	config := func() component.Config { return &struct{}{} }
	return otelcol.Factories{
		Receivers: map[component.Type]receiver.Factory{mixed: xreceiver.NewFactory(mixed, config,
			xreceiver.WithMetrics(nil, component.StabilityLevelStable),
			xreceiver.WithLogs(nil, component.StabilityLevelBeta),
			xreceiver.WithTraces(nil, component.StabilityLevelAlpha),
			xreceiver.WithProfiles(nil, component.StabilityLevelDevelopment))},
		Processors: map[component.Type]processor.Factory{mixed: xprocessor.NewFactory(mixed, config,
			xprocessor.WithMetrics(nil, component.StabilityLevelStable),
			xprocessor.WithLogs(nil, component.StabilityLevelBeta),
			xprocessor.WithTraces(nil, component.StabilityLevelAlpha),
			xprocessor.WithProfiles(nil, component.StabilityLevelDevelopment))},
		Exporters: map[component.Type]exporter.Factory{mixed: xexporter.NewFactory(mixed, config,
			xexporter.WithMetrics(nil, component.StabilityLevelStable),
			xexporter.WithLogs(nil, component.StabilityLevelBeta),
			xexporter.WithTraces(nil, component.StabilityLevelAlpha),
			xexporter.WithProfiles(nil, component.StabilityLevelDevelopment))},
		Connectors: map[component.Type]connector.Factory{mixed: xconnector.NewFactory(mixed, config,
			xconnector.WithMetricsToMetrics(nil, component.StabilityLevelStable),
			xconnector.WithLogsToMetrics(nil, component.StabilityLevelBeta),
			xconnector.WithTracesToMetrics(nil, component.StabilityLevelAlpha),
			xconnector.WithProfilesToMetrics(nil, component.StabilityLevelDevelopment))},
		Extensions: map[component.Type]extension.Factory{
			mixed: extension.NewFactory(mixed, config, nil, component.StabilityLevelAlpha),
			component.MustNewType("old"): extension.NewFactory(component.MustNewType("old"), config, nil,
				component.StabilityLevelDeprecated),
		},
	}, nil
}

func TestGate(t *testing.T) {
	// f converts yaml under the level and compares the error, "" for none.
	f := func(level, yaml, want string) {
		t.Helper()
		l := new(Level)
		if level != "" {
			require.NoError(t, l.Set(level))
		}
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(yaml))
		require.NoError(t, err)
		conf, err := retrieved.AsConf()
		require.NoError(t, err)
		before := conf.ToStringMap()

		err = NewConverterFactory(l, testFactories).Create(confmap.ConverterSettings{}).Convert(context.Background(), conf)
		require.Equal(t, before, conf.ToStringMap(), "the gate must not change the configuration")
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.EqualError(t, err, want)
	}

	metrics := `service: {pipelines: {metrics: {receivers: [mixed], processors: [mixed/p], exporters: [mixed]}}}`
	f("", metrics, "")
	f("stable", metrics, "")

	traces := `service: {pipelines: {traces/x: {receivers: [mixed], processors: [mixed/p], exporters: [mixed]}}}`
	f("", traces, "")
	f("alpha", traces, "")
	f("beta", traces, `--stability=beta refuses this configuration:
  exporters::mixed is alpha for traces
  processors::mixed/p is alpha for traces
  receivers::mixed is alpha for traces
remove them, or accept them with --stability=alpha`)

	// The advice names the level of the least mature offender.
	profiles := `service: {pipelines: {profiles: {receivers: [mixed]}, logs: {receivers: [mixed]}}}`
	f("stable", profiles, `--stability=stable refuses this configuration:
  receivers::mixed is beta for logs
  receivers::mixed is development for profiles
remove them, or accept them with --stability=development`)

	// A connector counts once for each pair of signals it really joins. Pairs
	// that it does not support are the collector's to report.
	connectors := `
connectors: {mixed: }
service:
  pipelines:
    traces: {receivers: [nop], exporters: [mixed]}
    profiles: {receivers: [nop], exporters: [mixed]}
    metrics: {receivers: [mixed], exporters: [nop]}
    logs: {receivers: [mixed], exporters: [nop]}`
	f("beta", connectors, `--stability=beta refuses this configuration:
  connectors::mixed is development for profiles to metrics
  connectors::mixed is alpha for traces to metrics
remove them, or accept them with --stability=development`)

	// Only what the service uses counts.
	f("stable", `{extensions: {mixed: }, receivers: {mixed: }}`, "")
	f("beta", `service: {extensions: [mixed]}`, `--stability=beta refuses this configuration:
  extensions::mixed is alpha
remove them, or accept them with --stability=alpha`)

	// Deprecated and unmaintained lie below every level one can choose.
	f("development", `service: {extensions: [old]}`, `--stability=development refuses this configuration:
  extensions::old is deprecated
remove them, or run without --stability`)

	// Nonsense is left to the collector's own checks.
	f("stable", `service: {pipelines: {"no such signal": {receivers: [mixed]}, traces: 3, metrics: {receivers: [unknown, 7, "/"]}}}`, "")
	f("stable", `service: 5`, "")
	f("stable", `{}`, "")
}

func TestGateReportsFactoryError(t *testing.T) {
	l := new(Level)
	require.NoError(t, l.Set("beta"))
	broken := func() (otelcol.Factories, error) { return otelcol.Factories{}, errors.New("duplicate type") }
	err := NewConverterFactory(l, broken).Create(confmap.ConverterSettings{}).Convert(context.Background(), confmap.New())
	require.EqualError(t, err, "list component factories: duplicate type")
}

func TestLevel(t *testing.T) {
	l := new(Level)
	require.Empty(t, l.String())
	require.NoError(t, l.Set("Beta"))
	require.Equal(t, "beta", l.String())
	require.EqualError(t, l.Set("ga"), `"ga" is not a stability level; use one of development, alpha, beta, stable`)
	require.Equal(t, "beta", l.String())
}
