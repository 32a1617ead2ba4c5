package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const example = `
type: summary
status:
  class: exporter
  stability:
    alpha: [logs, metrics]
    development: [profiles]
`

func TestGenerate(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "exporter", "summaryexporter")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "metadata.yaml"), []byte(example), 0o600))
	readme := filepath.Join(dir, "README.md")
	require.NoError(t, os.WriteFile(readme, []byte("# Summary\n"+readmeBegin+"old\n"+readmeEnd+"text\n"), 0o600))

	require.ErrorContains(t, run(root, true), "generated_status.go does not match metadata.yaml")
	require.NoError(t, run(root, false))
	require.NoError(t, run(root, true))

	source, err := os.ReadFile(filepath.Join(dir, "internal", "metadata", "generated_status.go"))
	require.NoError(t, err)
	require.Contains(t, string(source), `Type = component.MustNewType("summary")`)
	require.Contains(t, string(source), `ScopeName = "github.com/invar-otel/invar/exporter/summaryexporter"`)
	require.Contains(t, string(source), "MetricsStability  = component.StabilityLevelAlpha\n")
	require.Contains(t, string(source), "ProfilesStability = component.StabilityLevelDevelopment\n")

	text, err := os.ReadFile(readme)
	require.NoError(t, err)
	require.Equal(t, "# Summary\n"+readmeBegin+"| exporter `summary` | stability |\n|---|---|\n"+
		"| metrics | alpha |\n| logs | alpha |\n| profiles | development |\n"+readmeEnd+"text\n", string(text))

	require.NoError(t, os.WriteFile(readme, []byte("# Summary\n"), 0o600))
	require.ErrorContains(t, run(root, false), "must hold the lines")
}

func TestParseMetadata(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := parseMetadata([]byte(content))
		require.ErrorContains(t, err, want)
	}
	f("type: x", "status::class")
	f("tpye: x", "field tpye not found")
	f("{type: x, status: {class: exporter, stability: {ga: [logs]}}}", `status::stability: "ga" is not a level`)
	f("{type: x, status: {class: exporter, stability: {beta: [log]}}}", `status::stability::beta: "log" is not a signal`)
}
