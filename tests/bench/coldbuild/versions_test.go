package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestModulesShareVersions fails if unit tests compile another version of a package
// than the distribution contains. It would be compiled twice, and the tests would
// not test what is released.
func TestModulesShareVersions(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	tested := versions(t, root, "-test", "./...")
	released := versions(t, filepath.Join(root, "distributions", "invar"), ".")
	require.Greater(t, len(released), 100)
	for path, version := range tested {
		if want, is := released[path]; is && version != want {
			t.Errorf("go.mod has %s %s, distributions/invar/go.mod %s: run `go get %s@%s` in the repository's root",
				path, version, want, path, want)
		}
	}
}

// versions returns the versions of all modules that packages are built from.
func versions(t *testing.T, dir string, packages ...string) map[string]string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Version}}{{end}}"}, packages...)...)
	cmd.Dir = dir
	output, err := cmd.Output()
	require.NoError(t, err)
	versions := map[string]string{}
	for line := range strings.Lines(string(output)) {
		path, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		if version != "" { // the main module has none
			versions[path] = version
		}
	}
	return versions
}
