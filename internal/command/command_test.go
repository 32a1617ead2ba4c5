package command

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
	"go.opentelemetry.io/collector/featuregate"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func settings() otelcol.CollectorSettings {
	return otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "invar", Version: "1.2.3", Description: "a collector"},
		Factories: func() (otelcol.Factories, error) {
			return otelcol.Factories{Telemetry: otelconftelemetry.NewFactory()}, nil
		},
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			ProviderFactories: []confmap.ProviderFactory{envprovider.NewFactory(), yamlprovider.NewFactory()},
		}},
	}
}

func TestCommandLine(t *testing.T) {
	// f runs the arguments and compares the beginning of the output and the error.
	f := func(args []string, wantOut, wantErr string) {
		t.Helper()
		var out bytes.Buffer
		cmd := New(settings())
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(args)
		err := cmd.Execute()
		if wantErr == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, wantErr)
		}
		require.True(t, strings.HasPrefix(out.String(), wantOut), "output %q does not begin with %q", out.String(), wantOut)
	}

	f(nil, "invar 1.2.3: an OpenTelemetry Collector", errNoConfig.Error())
	f([]string{"--version"}, "invar version 1.2.3 (commit ", "")
	f([]string{"otel.yaml"}, "", `unknown command "otel.yaml"; to run a configuration file: invar --config otel.yaml`)
	f([]string{"--stability=ga", "--config=yaml:{}"}, "", `"ga" is not a stability level; use one of development, alpha, beta, stable`)
	f([]string{"--set=a=b", "--config=nosuch:x"}, "", "nosuch")
	f([]string{"validate", "--config", "yaml:service: {extensions: []}"}, "", "service::pipelines")
	f([]string{"components"}, "buildinfo:", "")
	f([]string{"featuregate", "service.profilesSupport"}, "", "")
	f([]string{"print-config", "--help"}, "Prints the Collector's configuration", "")
}

// Errors of every command advise on values that are not strings, and on groups of
// regular expressions.
func TestErrorsSayHowToWriteIt(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	f := func(config, want string) {
		t.Helper()
		for _, sub := range []string{"validate", "print-config", ""} {
			os.Args = []string{"invar", "--config=yaml:" + config}
			if sub != "" {
				os.Args = slices.Insert(os.Args, 1, sub)
			}
			require.ErrorContains(t, Execute(settings()), want, sub)
		}
	}
	f("service: {telemetry: {logs: {encoding: 1}}}", `got unconvertible type 'int' (quote it, like "1")`)
	f("receivers: {prometheus_scrape: {config: {scrape_configs: [{relabel_configs: [{replacement: '${1}'}]}]}}}",
		"receivers::prometheus_scrape::config::scrape_configs::0::relabel_configs::0::replacement: a collector configuration takes ${1} for an environment variable; for a group of a regular expression write $${1} (line 1)")
}

func TestProfilesGate(t *testing.T) {
	enabled := func() bool {
		on := false
		featuregate.GlobalRegistry().VisitAll(func(g *featuregate.Gate) {
			if g.ID() == "service.profilesSupport" {
				on = g.IsEnabled()
			}
		})
		return on
	}
	require.NoError(t, enableDefaultGates())
	require.True(t, enabled())

	cmd := New(settings())
	cmd.SetArgs([]string{"--feature-gates=-service.profilesSupport", "--config=nosuch:x"})
	require.Error(t, cmd.Execute())
	require.False(t, enabled(), "--feature-gates has the last word")
}
