package opamptransport

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/config/configtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, text string) (Config, error) {
	cfg := NewDefaultConfig()
	return cfg, configtest.Parse(t, text, &cfg)
}

func TestDefaults(t *testing.T) {
	cfg := NewDefaultConfig()
	require.NoError(t, componenttest.CheckConfigStruct(&cfg))
	require.Equal(t, 30*time.Second, cfg.HeartbeatInterval)
	require.Equal(t, 30*time.Second, cfg.PollInterval)
	require.Equal(t, 30*time.Second, cfg.Timeout)
	require.False(t, cfg.AcceptRestartCommand)
	cfg, err := parse(t, "{endpoint: ws://a, accept_restart_command: true}")
	require.NoError(t, err)
	require.True(t, cfg.AcceptRestartCommand)
}

func TestServers(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		cfg := NewDefaultConfig()
		require.NoError(t, configtest.Parse(t, text, &cfg))
		servers, err := cfg.servers()
		require.NoError(t, err)
		require.Len(t, servers, len(want))
		for i, u := range servers {
			require.Equal(t, want[i], u.String())
		}
	}
	f("endpoint: wss://fleet", "wss://fleet/v1/opamp")
	f("endpoint: http://fleet:4320/", "http://fleet:4320/v1/opamp")
	f("endpoint: wss://fleet/my/path?tenant=1", "wss://fleet/my/path?tenant=1")
	f("endpoints: [https://a, ws://b/x]", "https://a/v1/opamp", "ws://b/x")
	f("{endpoint: https://a, endpoints: [https://b]}", "https://a/v1/opamp", "https://b/v1/opamp")
	f("{endpoint: https://a, compression: gzip, heartbeat_interval: 0s, poll_interval: 10s, proxy_url: 'http://proxy:3128'}", "https://a/v1/opamp")
}

func TestConfigErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := parse(t, text)
		require.ErrorContains(t, err, want)
	}
	f("{}", "endpoint: is not set; write it like wss://fleet.example.org/v1/opamp")
	f("endpoint: fleet", `endpoint: "fleet" is not a URL with a scheme; write it like wss://`)
	f("endpoint: fleet:4320", `endpoint: "fleet:4320" is not a URL`)
	f("endpoint: ftp://fleet", `endpoint: "ftp://fleet" has a scheme that is not OpAMP's; use ws, wss, http or https`)
	f("endpoint: ws://me:secret@fleet", `endpoint: "ws://me:xxxxx@fleet" has a user in it; use auth`)
	f("{endpoint: ws://a, endpoints: ['ws://a/v1/opamp']}", `endpoints::0: "ws://a/v1/opamp" is there twice`)
	f("{endpoint: ws://a, endpoints: ['ws://b', '']}", `endpoints::1: "" is not a URL`)
	f("{endpoint: ws://a, poll_interval: 5s}", "poll_interval: 5s is too short; use 10s or longer")
	f("{endpoint: ws://a, heartbeat_interval: 5ms}", "heartbeat_interval: 5ms is too short; use 0 for none, or 1s or longer")
	f("{endpoint: ws://a, accept_restart_command: sometimes}", "accept_restart_command")
	f("{endpoint: ws://a, timeout: 0s}", "timeout: 0s would wait forever")
	f("{endpoint: http://a, compression: zstd}", `compression: "zstd" is not OpAMP's; use gzip or none`)
	f("{endpoint: http://a, endpoints: [wss://b], compression: gzip}", `compression: works over HTTP only, and "wss://b" is a WebSocket`)
	f("{endpoint: ws://b, middlewares: [{id: x}]}", `middlewares: works over HTTP only`)
	f("{endpoint: ws://b, proxy_url: 'proxy:3128'}", `proxy_url: is not the URL of a proxy`)
	f("{endpoint: ws://b, poll_interval: 1s, timeout: -1s}", "poll_interval: 1s is too short; use 10s or longer\ntimeout: -1s")
}
