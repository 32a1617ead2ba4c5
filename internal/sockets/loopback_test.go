package sockets

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsLoopback(t *testing.T) {
	for _, host := range []string{"localhost", "127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"} {
		require.True(t, IsLoopback(host), host)
	}
	for _, host := range []string{"", "*", "0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "[::1]", "127.0.0.1:80", "::ffff:10.0.0.1"} {
		require.False(t, IsLoopback(host), host)
	}
}
