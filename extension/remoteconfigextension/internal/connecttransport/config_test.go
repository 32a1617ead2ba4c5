package connecttransport

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/config/configtest"
)

func TestConfig(t *testing.T) {
	cfg := NewDefaultConfig()
	require.NoError(t, configtest.Parse(t, `
endpoint: https://fleet.example.org/a
poll_interval: 10s
headers: {X-Scope-OrgID: a}
unregister_on_shutdown: true
`, &cfg))
	require.Equal(t, 10*time.Second, cfg.PollInterval)
	require.Equal(t, 30*time.Second, cfg.Timeout)
	require.True(t, cfg.UnregisterOnShutdown)
	require.Equal(t, []string{"https://fleet.example.org/a"}, cfg.servers())

	cfg = NewDefaultConfig()
	require.NoError(t, configtest.Parse(t, "{endpoint: http://a, endpoints: [http://b]}", &cfg))
	require.Equal(t, []string{"http://a", "http://b"}, cfg.servers())
	require.Equal(t, time.Minute, cfg.PollInterval)
}

func TestConfigErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		cfg := NewDefaultConfig()
		err := configtest.Parse(t, text, &cfg)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "hunter2")
	}
	f("{}", "endpoint: is not set; write it like https://fleet.example.org")
	f("{endpoint: http://a, endpoints: [http://b, http://a]}", `endpoints::1: "http://a" is there twice`)
	f("endpoint: fleet:8080", `endpoint: "fleet:8080" is not an http or https URL`)
	f("endpoint: ws://fleet", `endpoint: "ws://fleet" is not an http or https URL`)
	f("endpoint: http://u:hunter2@fleet", `endpoint: "http://u:xxxxx@fleet" has a user in it`)
	f("endpoint: ftp://fleet", `endpoint: "ftp://fleet" is not an http or https URL`)
	f("endpoint: http://u:hunter2@fleet:x", "endpoint: is not a URL; write it like")
	f("endpoint: http://fleet?a=b", "has a query or a fragment")
	f("endpoints: [http://a, b]", `endpoints::1: "b" is not`)
	f("endpoints: [http://a, http://a]", `endpoints::1: "http://a" is there twice`)
	f("{endpoint: http://a, poll_interval: 9s}", "poll_interval: 9s is too short; use 10s or more")
	f("{endpoint: http://a, timeout: 0s}", "timeout: 0s is out of range")
	f("{endpoint: http://a, compression: zstd}", `compression: "zstd" is not what every server reads`)
	f("{endpoint: http://a, proxy_url: 'http://u:hunter2@proxy:x'}", "proxy_url: is not the URL of a proxy")
	f("{endpoint: http://a, proxy_url: proxy}", "proxy_url: is not the URL of a proxy")
	f("{endpoint: http://a, interval: 1m}", "interval")
}
