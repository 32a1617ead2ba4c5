package e2e

import (
	"context"
	"debug/elf"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// run runs invar until it exits, and returns its output and exit status.
func run(t *testing.T, o harness.Options) (output string, status int) {
	t.Helper()
	cmd := harness.Command(t, o)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	bounded := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	bounded.Dir, bounded.Env = cmd.Dir, cmd.Env
	out, err := bounded.CombinedOutput()
	if bounded.ProcessState == nil {
		t.Fatal(err)
	}
	require.NoError(t, ctx.Err(), "invar %v did not end", cmd.Args[1:])
	return string(out), bounded.ProcessState.ExitCode()
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	// f runs invar and checks its exit status and that the output contains each text.
	f := func(status int, args []string, want ...string) {
		t.Helper()
		out, got := run(t, harness.Options{Args: args})
		for _, text := range want {
			require.Contains(t, out, text)
		}
		require.Equal(t, status, got, out)
	}
	const profiles = "yaml:{receivers: {otlp: {protocols: {grpc: }}}, exporters: {nop: }, " +
		"service: {pipelines: {profiles: {receivers: [otlp], exporters: [nop]}}}}"

	f(1, nil, "invar --config builtin:default", "invar --config otel.yaml", "invar validate")
	f(0, []string{"--version"}, "invar version 0.1.0 (commit ")
	f(0, []string{"--help"}, "--config", "--set", "--feature-gates", "--stability", "print-config")
	f(1, []string{"otel.yaml"}, "to run a configuration file: invar --config otel.yaml")
	f(1, []string{"--config", "missing.yaml"}, "missing.yaml", "no such file or directory")
	f(0, []string{"components"}, "- name: prometheus_remote_write", "- name: summary", "- scheme: builtin")
	f(0, []string{"featuregate", "service.profilesSupport"}, "Enabled: true")

	f(0, []string{"validate", "--config", profiles})
	f(1, []string{"validate", "--config", profiles, "--feature-gates=-service.profilesSupport"}, "service.profilesSupport")
	f(0, []string{"validate", "--config", "builtin:default"})
	f(1, []string{"validate", "--config", "builtin:nope"}, "use one of: builtin:default")

	f(0, []string{"validate", "--config", profiles, "--stability=alpha"})
	f(1, []string{"validate", "--config", profiles, "--stability=stable"},
		"--stability=stable refuses this configuration", "exporters::nop is ", "receivers::otlp is alpha for profiles")
	f(1, []string{"--config", profiles, "--stability=stable"}, "--stability=stable refuses this configuration")
	f(1, []string{"--config", profiles, "--stability=ga"}, `"ga" is not a stability level`)
}

// TestPrintConfigRedactsSecrets prints a configuration with a secret in it.
func TestPrintConfigRedactsSecrets(t *testing.T) {
	t.Parallel()
	o := harness.Options{Env: map[string]string{"TOKEN": "s3cr3t-token"}, Config: `
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:4317"}}}}
exporters: {otlp_http: {endpoint: "http://127.0.0.1:4318", headers: {authorization: "Bearer ${env:TOKEN}"}}}
extensions: {bearertokenauth: {token: "${env:TOKEN}"}}
service: {extensions: [bearertokenauth], pipelines: {traces: {receivers: [otlp], exporters: [otlp_http]}}}
`}
	cmd := harness.Command(t, o)
	o = harness.Options{Env: o.Env, Args: append([]string{"print-config"}, cmd.Args[1:]...)}
	out, status := run(t, o)
	require.Equal(t, 0, status, out)
	require.Contains(t, out, "endpoint: http://127.0.0.1:4318")
	require.NotContains(t, out, "s3cr3t")
}

// TestBinary checks how the binary was linked: static and stripped.
func TestBinary(t *testing.T) {
	t.Parallel()
	f, err := elf.Open(harness.Binary(t, "invar"))
	require.NoError(t, err)
	defer f.Close()
	for _, p := range f.Progs {
		require.NotEqual(t, elf.PT_INTERP, p.Type, "a static binary has no interpreter")
		require.NotEqual(t, elf.PT_DYNAMIC, p.Type, "a static binary has no dynamic section")
	}
	require.Nil(t, f.Section(".symtab"), "not stripped")
	require.Nil(t, f.Section(".debug_info"), "not stripped")
}
