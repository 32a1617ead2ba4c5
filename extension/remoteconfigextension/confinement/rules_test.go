package confinement

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

func TestValidate(t *testing.T) {
	require.NoError(t, (&Rules{}).Validate())
	require.NoError(t, (&Rules{
		AllowedComponents:      []string{"default", "otlp", "*", "exporter/*", "scraper/process", "sasl/aws_msk_iam_oauthbearer", "discovery/ec2"},
		AllowedProviders:       []string{"env", "file"},
		AllowedPaths:           []string{"/etc/invar"},
		AllowedListenAddresses: []string{"0.0.0.0:4317", "[::]:*", "*:*"},
	}).Validate())
	f := func(r Rules, want string) {
		t.Helper()
		require.ErrorContains(t, r.Validate(), want)
	}
	f(Rules{AllowedComponents: []string{}}, "allowed_components: is empty")
	f(Rules{AllowedComponents: []string{"source/otlp"}}, `allowed_components: "source/otlp" begins with an unknown kind; use one of auth_type, connector,`)
	f(Rules{AllowedComponents: []string{""}}, "is not a component; write it like receiver/otlp")
	f(Rules{AllowedComponents: []string{"receiver/otlp/x"}}, "is not a component")
	f(Rules{AllowedComponents: []string{"otlp*"}}, "is not a component")
	f(Rules{AllowedComponents: []string{"extension/remote_config"}}, "which no rule permits")
	f(Rules{AllowedComponents: []string{"opamp"}}, "which no rule permits")
	f(Rules{AllowedProviders: []string{"http"}}, `allowed_providers: "http" cannot be allowed; use env or file`)
	f(Rules{AllowedProviders: []string{"file"}}, "reads nothing without allowed_paths")
	f(Rules{AllowedPaths: []string{"certs"}}, `allowed_paths: "certs" is not absolute`)
	for _, address := range []string{"4317", "host:1", ":4317", "0.0.0.0:0", "0.0.0.0:x", "0.0.0.0:70000", ""} {
		f(Rules{AllowedListenAddresses: []string{address}}, "allowed_listen_addresses: ")
	}
	f(Rules{AllowedProviders: []string{"x"}, AllowedPaths: []string{"y"}}, "allowed_paths")
}

func TestRulesAreReadFromConfiguration(t *testing.T) {
	var rules Rules
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"allowed_components": []any{"default"}, "allowed_providers": []any{"env"},
		"allowed_paths": []any{"/a"}, "allowed_listen_addresses": []any{"*:1"},
	}).Unmarshal(&rules))
	require.Equal(t, Rules{
		AllowedComponents: []string{"default"}, AllowedProviders: []string{"env"},
		AllowedPaths: []string{"/a"}, AllowedListenAddresses: []string{"*:1"},
	}, rules)
}

// TestLists keeps the lists free of contradictions.
func TestLists(t *testing.T) {
	require.True(t, slices.IsSorted(DefaultComponents()))
	for _, id := range DefaultComponents() {
		require.NoError(t, validatePattern(id))
		require.NotContains(t, refusedReasons, id)
		require.NotContains(t, neverReasons, id)
	}
	for id, current := range formerly {
		kind, name, _ := strings.Cut(id, "/")
		require.NotEqual(t, name, current)
		require.True(t, Known(kind, current), id)
		require.True(t, Known(kind, name), id)
		require.NotContains(t, allowedReasons, id)
	}
	require.False(t, Known("receiver", "unheard_of"))
	for name := range folders {
		require.Contains(t, allowedReasons, name)
	}
	for name := range freeKeys {
		require.False(t, KnownKey(name), name)
		require.False(t, Suspicious(name), name)
	}
	require.True(t, HostKey("receiver/file_log", "Include"))
	require.False(t, HostKey("processor/filter", "include"))
}
