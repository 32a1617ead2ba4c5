package reloading

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type nobody struct{ Controller }

func TestContext(t *testing.T) {
	require.Nil(t, FromContext(t.Context()))
	c := &nobody{}
	require.Same(t, c, FromContext(ContextWith(context.Background(), c)))
}

func TestDigestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.yaml")
	require.Zero(t, DigestFile(path), "there is no file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	empty := DigestFile(path)
	require.NotZero(t, empty)
	require.NoError(t, os.WriteFile(path, []byte("a: 1"), 0o600))
	require.NotEqual(t, empty, DigestFile(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.Equal(t, empty, DigestFile(path))
}

func TestTriggers(t *testing.T) {
	require.True(t, File.Watches())
	require.True(t, Provider.Watches())
	require.False(t, HTTP.Watches())
	require.False(t, Signal.Watches())
}
