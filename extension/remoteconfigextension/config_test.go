package remoteconfigextension

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/metadata"
	"github.com/invar-otel/invar/internal/config/configtest"
)

func TestConfig(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	cfg := createDefaultConfig().(*Config)
	require.NoError(t, configtest.Parse(t, `
connect:
  endpoint: https://fleet.example.org
  poll_interval: 10s
id: host-1
name: the first
attributes: {team: orders}
allowed_components: [default, receiver/file_log]
allowed_paths: [/var/log]
probation: 0s
report_local_config: true
`, cfg))
	require.True(t, cfg.Connect.HasValue())
	require.False(t, cfg.OpAMP.HasValue())
	require.Equal(t, 10*time.Second, cfg.Connect.Get().PollInterval)
	require.Equal(t, 30*time.Second, cfg.Connect.Get().Timeout)
	require.Equal(t, []string{"/var/log"}, cfg.Rules.AllowedPaths)
	require.Equal(t, 0.5, cfg.MaxErrorRatio) //nolint:testifylint // a default, not a result
	require.Contains(t, rulesText(&cfg.Rules), "allowed_paths:\n    - /var/log\n")

	cfg = createDefaultConfig().(*Config)
	require.NoError(t, configtest.Parse(t, "opamp: {endpoint: wss://fleet.example.org/v1/opamp}", cfg))
	require.True(t, cfg.OpAMP.HasValue())
	require.Equal(t, 30*time.Second, cfg.Probation)
	require.False(t, cfg.OpAMP.Get().AcceptRestartCommand, "a server does not interrupt the local pipelines unless that is wanted")
	require.NoError(t, configtest.Parse(t, "opamp: {endpoint: wss://fleet.example.org, accept_restart_command: true}", cfg))
	require.True(t, cfg.OpAMP.Get().AcceptRestartCommand)
}

func TestConfigErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		require.ErrorContains(t, configtest.Parse(t, text, createDefaultConfig()), want)
	}
	connect := "connect: {endpoint: http://a}\n"
	f("id: a", "connect, opamp: exactly one must be configured")
	f(connect+"opamp: {endpoint: ws://a}", "connect, opamp: exactly one must be configured")
	f("connect: {endpoint: a}", `connect: endpoint: "a" is not an http or https URL`)
	f("connect: {endpoint: http://a, poll_interval: 1s}", "connect: poll_interval: 1s is too short")
	f("opamp: {endpoint: a}", "opamp: endpoint")
	f("connect: {endpoint: http://a, accept_restart_command: true}", "accept_restart_command")
	f(connect+"id: ' a'", `id: " a" begins or ends with a space`)
	f(connect+`id: "a\nb"`, `id: "a\nb" has characters that are not text`)
	f(connect+"name: "+strings.Repeat("x", 1025), "name: has 1025 bytes; use at most 1024")
	f(connect+"attributes: {collector.os: x}", `attributes: "collector.os" begins with collector.`)
	f(connect+"attributes: {'': x}", "attributes: has an empty name")
	f(connect+`attributes: {a: "\u0001"}`, `attributes::a: "\x01" has characters`)
	f(connect+"probation: -1s", "probation: -1s is out of range")
	f(connect+"probation: 61m", "probation: 1h1m0s is out of range")
	f(connect+"max_error_ratio: 1.1", "max_error_ratio: 1.1 is out of range")
	f(connect+"max_error_ratio: .nan", "max_error_ratio: NaN is out of range")
	f(connect+"drain_timeout: 0s", "drain_timeout: 0s is out of range")
	f(connect+"allowed_providers: [http]", `allowed_providers: "http" cannot be allowed`)
	f(connect+"allow: all", "allow")
}

func TestDirectories(t *testing.T) {
	id := component.NewIDWithName(metadata.Type, "a/b")
	t.Setenv("XDG_STATE_HOME", "/state")
	require.Equal(t, []string{"/var/lib/invar/remote_config_a%2Fb", "/state/invar/remote_config_a%2Fb"}, directories(id))
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/a")
	require.Equal(t, []string{"/var/lib/invar/remote_config", "/home/a/.local/state/invar/remote_config"},
		directories(component.NewID(metadata.Type)))
	t.Setenv("HOME", "")
	require.Equal(t, []string{"/var/lib/invar/remote_config"}, directories(component.NewID(metadata.Type)))
}

func TestOpenStore(t *testing.T) {
	blocked := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(blocked, nil, 0o600))
	dir := filepath.Join(t.TempDir(), "a", "b")

	s, err := openStore("", "one", []string{filepath.Join(blocked, "x"), dir})
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(dir, "lock"))
	_, err = openStore("", "two", []string{dir, t.TempDir()})
	require.ErrorContains(t, err, "storage_directory: two wants the directory "+dir+", which one (process ")
	require.NoError(t, s.Close())

	_, err = openStore("", "one", []string{filepath.Join(blocked, "x")})
	require.ErrorContains(t, err, "storage_directory: is not set, and no default can be used; set it to a folder that can be written")
	_, err = openStore(blocked, "one", []string{dir})
	require.ErrorContains(t, err, "storage_directory: ")
}
