package command

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/otelcol"
)

// TestURIs compares the flags' values with the settings of the collector.
func TestURIs(t *testing.T) {
	f := func(args, want []string, wantErr string) {
		t.Helper()
		root := otelcol.NewCommand(settings())
		var given uris
		require.NoError(t, given.record(root))
		var got otelcol.CollectorSettings
		root.RunE = func(*cobra.Command, []string) (err error) {
			got, err = given.settings(settings())
			return err
		}
		root.SetArgs(args)
		root.SetErr(new(bytes.Buffer))
		err := root.Execute()
		if wantErr != "" {
			require.ErrorContains(t, err, wantErr)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, got.ConfigProviderSettings.ResolverSettings.URIs)
		require.Equal(t, "env", got.ConfigProviderSettings.ResolverSettings.DefaultScheme)
	}
	f([]string{"--config", "a.yaml", "--config=yaml:{a: [1, 2]}"}, []string{"a.yaml", "yaml:{a: [1, 2]}"}, "")
	f([]string{"--set=processors.batch.timeout=2s", "--config", "a.yaml", "--set", "x.y = [a=b]"},
		[]string{"a.yaml", "yaml:processors::batch::timeout: 2s", "yaml:x::y: [a=b]"}, "")
	f([]string{"--set", "x"}, nil, "missing equal sign")
	f(nil, nil, "at least one config flag must be provided")

	require.ErrorContains(t, new(uris).record(&cobra.Command{}), "has no flag --")
	var given uris
	given.configs = []string{"a.yaml"}
	_, err := given.settings(otelcol.CollectorSettings{})
	require.ErrorContains(t, err, "at least one Provider must be supplied")
}
