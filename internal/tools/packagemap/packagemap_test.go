// Package packagemap keeps the table of packages in docs/architecture.md true.
package packagemap

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the packages and their users into the table; jobs are written by hand")

const (
	module = "github.com/invar-otel/invar/"
	begin  = "| package | job | used by |\n|---|---|---|\n"
)

// Every package below an internal/ folder or a component is in the table, with a
// job and with those that import it.
func TestTable(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	file := filepath.Join(root, "docs", "architecture.md")
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(content), begin)
	require.True(t, ok, "%s has no table that begins with\n%s", file, begin)
	table, after, _ := strings.Cut(rest, "\n\n")

	jobs := readJobs(table)
	users := readUsers(t, root)
	var want strings.Builder
	for _, name := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", name, jobs[name], users[name])
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+strings.TrimSuffix(want.String(), "\n")+"\n\n"+after), 0o644))
	} else {
		require.Equal(t, want.String(), table+"\n", "run `go test -C internal/tools ./packagemap -update` and look at the table")
	}
	for _, name := range slices.Sorted(maps.Keys(users)) {
		require.NotEmpty(t, jobs[name], "%s: say in the table what %s is for", file, name)
	}
}

// readJobs returns the second column of the table by package.
func readJobs(table string) map[string]string {
	jobs := make(map[string]string)
	for line := range strings.Lines(table) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); len(cells) == 3 {
			jobs[strings.Trim(cells[0], "| `")] = cells[1]
		}
	}
	return jobs
}

// readUsers returns, by package, who imports it. Users in tests count only for
// packages without others.
func readUsers(t *testing.T, root string) map[string]string {
	t.Helper()
	code, tests := make(map[string]map[string]bool), make(map[string]map[string]bool)
	require.NoError(t, filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(file) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		dir, to := filepath.ToSlash(rel), code
		if strings.HasSuffix(file, "_test.go") {
			to = tests
		} else if inTable(dir) && code[dir] == nil {
			code[dir] = make(map[string]bool)
		}
		imports, err := importsOf(file)
		for _, imported := range imports {
			if imported == dir || !inTable(imported) {
				continue
			}
			if to[imported] == nil {
				to[imported] = make(map[string]bool)
			}
			to[imported][user(dir)] = true
		}
		return err
	}))
	users := make(map[string]string, len(code))
	for name := range code {
		users[name] = list(code[name])
		if len(code[name]) == 0 && len(tests[name]) > 0 {
			users[name] = "tests of " + list(tests[name])
		}
	}
	return users
}

func list(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }

// importsOf returns the packages of this module that a file imports.
func importsOf(file string) ([]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []string
	for _, spec := range parsed.Imports {
		name, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if own, ok := strings.CutPrefix(name, module); ok {
			imports = append(imports, own)
		}
	}
	return imports, nil
}

var componentKinds = []string{"connector", "converter", "exporter", "extension", "processor", "provider", "receiver"}

// inTable reports whether dir holds a package for the table: a shared one, or a
// part of a component or of the fleet server. Generated packages are not, nor the
// tools, nor the empty modules that stand in for others.
func inTable(dir string) bool {
	parts := strings.Split(dir, "/")
	switch {
	case strings.HasPrefix(path.Base(dir), "metadata") || strings.HasPrefix(dir, "internal/tools") || strings.HasPrefix(dir, "internal/empty"):
		return false
	case slices.Contains(componentKinds, parts[0]):
		return len(parts) > 2
	default:
		return slices.Contains(parts, "internal")
	}
}

// user returns how the table calls the code in dir: a component by its name, a
// shared package without internal/, a program by its name.
func user(dir string) string {
	parts := strings.Split(dir, "/")
	switch {
	case slices.Contains(componentKinds, parts[0]), parts[0] == "cmd", parts[0] == "distributions":
		return parts[min(1, len(parts)-1)]
	case parts[0] == "internal":
		return strings.TrimPrefix(dir, "internal/")
	default:
		return parts[0]
	}
}
