package command

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
	"go.yaml.in/yaml/v3"
)

type shownConfig struct {
	Opaque  configopaque.String `mapstructure:"opaque"`
	Token   string              `mapstructure:"token"`
	URL     string              `mapstructure:"url"`
	Params  map[string]string   `mapstructure:"params"`
	Timeout time.Duration       `mapstructure:"timeout"`
	Count   int                 `mapstructure:"count"`
	Ratio   float64             `mapstructure:"ratio"`
	Number  string              `mapstructure:"number"`
}

func TestPrintConfig(t *testing.T) {
	shown := component.MustNewType("shown")
	set := settings()
	set.Factories = func() (otelcol.Factories, error) {
		return otelcol.Factories{
			Telemetry: otelconftelemetry.NewFactory(),
			Extensions: map[component.Type]extension.Factory{shown: extension.NewFactory(shown,
				func() component.Config { return &shownConfig{} },
				func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
					return nil, nil
				},
				component.StabilityLevelStable)},
		}, nil
	}
	f := func(args ...string) map[string]any {
		t.Helper()
		var out bytes.Buffer
		cmd := New(set)
		cmd.SetOut(&out)
		cmd.SetArgs(append([]string{"print-config", "--validate=false", "--config",
			`yaml:extensions: {shown: {opaque: planted-1, token: planted-2, url: "https://u:planted-3@h/?token=planted-4", params: {x: planted-5}, timeout: 5s, count: 1000000000, ratio: 0.1, number: "012"}}`}, args...))
		require.NoError(t, cmd.Execute())
		var config struct {
			Extensions map[string]map[string]any `yaml:"extensions"`
		}
		require.NoError(t, yaml.Unmarshal(out.Bytes(), &config), out.String())
		return config.Extensions["shown"]
	}
	mask := "[REDACTED]"
	want := map[string]any{
		"opaque": mask, "token": mask, "url": "https://u:[REDACTED]@h/?token=[REDACTED]", "params": map[string]any{"x": mask},
		"timeout": "5s", "count": 1000000000, "ratio": 0.1, "number": "012",
	}
	require.Equal(t, want, f())
	want["timeout"] = 5_000_000_000 // as upstream's JSON has it
	require.Equal(t, want, f("--mode=REDACTED", "--format=json"))
	unredacted := f("--mode=unredacted")
	require.Equal(t, "planted-1", unredacted["opaque"])
	require.Equal(t, "https://u:planted-3@h/?token=planted-4", unredacted["url"])

	cmd := New(set)
	cmd.SetOut(new(bytes.Buffer))
	cmd.SetArgs([]string{"print-config", "--config", "yaml:extensions: {other: }"})
	require.ErrorContains(t, cmd.Execute(), `unknown type: "other"`)
}
