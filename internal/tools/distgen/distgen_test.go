package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

const example = `
dist: {module: example.com/dist, version: 1.0.0, output_path: ./distributions/x}
receivers:
  - gomod: example.com/a v1.2.0
exporters:
  - gomod: example.com/own v1.0.0
    import: example.com/own/exporter
    path: .
excludes: [example.com/bad v0.1.0]
replaces: ["example.com/empty => ../../internal/empty"]
`

func parse(t *testing.T, text string) *manifest {
	t.Helper()
	path := filepath.Join(t.TempDir(), "builder-config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	m, err := readManifest(path)
	require.NoError(t, err)
	return m
}

func TestSyncGoMod(t *testing.T) {
	m := parse(t, example)
	fresh, err := syncGoMod(nil, m)
	require.NoError(t, err)
	require.Equal(t, `module example.com/dist

go 1.26.0

require (
	example.com/a v1.2.0
	example.com/own v1.0.0
)

replace example.com/empty => ../../internal/empty

replace example.com/own => ../..

exclude example.com/bad v0.1.0
`, string(fresh))

	second, err := syncGoMod(fresh, m)
	require.NoError(t, err)
	require.Equal(t, string(fresh), string(second), "a second pass changes nothing")

	// Indirect requirements stay; a changed version, a dropped replace and a
	// dropped exclude are brought in line.
	stale := `module example.com/dist

go 1.26.0

require (
	example.com/a v1.1.0
	example.com/own v1.0.0
	example.com/indirect v0.3.0 // indirect
)

replace example.com/gone => ../gone

replace example.com/own => ../..

exclude example.com/old v0.0.1
`
	synced, err := syncGoMod([]byte(stale), m)
	require.NoError(t, err)
	require.Contains(t, string(synced), "example.com/a v1.2.0\n")
	require.Contains(t, string(synced), "example.com/indirect v0.3.0 // indirect\n")
	require.NotContains(t, string(synced), "example.com/gone")
	require.NotContains(t, string(synced), "example.com/old")
}

func TestVerifyVersions(t *testing.T) {
	m := parse(t, example)
	synced, err := syncGoMod(nil, m)
	require.NoError(t, err)
	require.NoError(t, verifyVersions(synced, m))
	raised := "module example.com/dist\nrequire (\nexample.com/a v1.3.0\nexample.com/own v1.0.0\n)\n"
	require.EqualError(t, verifyVersions([]byte(raised), m),
		`example.com/a: builder-config.yaml says v1.2.0, but the modules resolve to "v1.3.0"`)
}

func TestManifestErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := syncGoMod(nil, parse(t, "dist: {module: x, output_path: y}\n"+text))
		require.ErrorContains(t, err, want)
	}
	f(`receivers: [{gomod: example.com/a}]`, `gomod: "example.com/a" is not a module and a version`)
	f(`replaces: ["a b"]`, `replaces: "a b" has no =>`)
	f(`excludes: [a]`, `excludes: gomod: "a" is not a module and a version`)

	path := filepath.Join(t.TempDir(), "builder-config.yaml")
	require.NoError(t, os.WriteFile(path, []byte("dist: {}"), 0o600))
	_, err := readManifest(path)
	require.ErrorContains(t, err, "dist::module and dist::output_path must be set")
}

// TestCheckFindsStaleFile runs the whole generation against the repository's
// own manifest, once as it is and once with a committed file altered.
func TestCheckFindsStaleFile(t *testing.T) {
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	m, err := readManifest(filepath.Join(root, "builder-config.yaml"))
	require.NoError(t, err)
	files, err := generate(root, m)
	require.NoError(t, err)

	target := t.TempDir()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(target, name), content, 0o600))
	}
	require.NoError(t, compare(target, files))
	require.NoError(t, os.WriteFile(filepath.Join(target, "components.go"), append(files["components.go"], '\n'), 0o600))
	require.ErrorContains(t, compare(target, files), "components.go does not match builder-config.yaml; run `make generate`")
}
