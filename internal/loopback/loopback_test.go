package loopback

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestIsHost(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"} {
		require.True(t, IsHost(host), host)
	}
	for _, host := range []string{"", "*", "0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "[::1]", "127.0.0.1:80", "::ffff:10.0.0.1"} {
		require.False(t, IsHost(host), host)
	}
}
