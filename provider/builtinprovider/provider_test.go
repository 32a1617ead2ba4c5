package builtinprovider

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRetrieve(t *testing.T) {
	p := NewFactory().Create(confmap.ProviderSettings{})
	require.Equal(t, "builtin", p.Scheme())
	defer func() { require.NoError(t, p.Shutdown(context.Background())) }()

	retrieved, err := p.Retrieve(context.Background(), "builtin:default", nil)
	require.NoError(t, err)
	conf, err := retrieved.AsConf()
	require.NoError(t, err)
	require.True(t, conf.IsSet("service::pipelines::metrics"))

	f := func(uri, want string) {
		t.Helper()
		_, err := p.Retrieve(context.Background(), uri, nil)
		require.EqualError(t, err, want)
	}
	f("builtin:nope", `there is no built-in configuration "nope"; use one of: builtin:default`)
	f("builtin:", `there is no built-in configuration ""; use one of: builtin:default`)
	f("builtin:../provider.go", `there is no built-in configuration "../provider.go"; use one of: builtin:default`)
	f("file:default", `"file:default" uri is not supported by "builtin" provider`)
}
