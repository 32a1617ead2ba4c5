// Package lint pins the linter. Its tests are about .golangci.yml: that the rules
// on who may import whom refuse what docs/architecture.md rules out.
package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	root   = "../../.."
	module = "github.com/invar-otel/invar/"
)

// A violation is an import that a rule refuses.
type violation struct{ file, imports, rule string }

func TestImportRules(t *testing.T) {
	m := newScratch(t)
	var want []violation
	accept := func(file, imports string) { m.add(t, file, imports) }
	refuse := func(file, imports, rule string) {
		m.add(t, file, imports)
		want = append(want, violation{file, imports, rule})
	}

	// Every component has a rule of its own, which leaves it its own packages.
	components := componentFolders(t)
	if len(components) < 13 {
		t.Fatalf("found the components %q only", components)
	}
	for _, c := range components {
		accept(c+"/own/own.go", module+c+"/internal/metadata")
		accept(c+"/internal/own/own.go", module+c+"/internal/metadata")
		accept(c+"/shared/shared.go", module+"internal/promlane")
		refuse(c+"/sibling/sibling.go", module+filepath.Dir(c)+"/sibling", c)
		refuse(c+"/internal/deep/deep.go", module+"exporter/sibling", c)
		refuse(c+"/service/service.go", "go.opentelemetry.io/collector/otelcol", c)
		refuse(c+"/command/command.go", module+"internal/command", c)
		refuse(c+"/upstream/upstream.go", "github.com/open-telemetry/opentelemetry-collector-contrib/exporter/x", c)
	}
	refuse("receiver/lokireceiver/exporter/exporter.go", module+"exporter/lokiexporter", "receiver/lokireceiver")
	refuse("exporter/lokiexporter/exporter/exporter.go", module+"exporter/pyroscopeexporter", "exporter/lokiexporter")

	// Tests as well.
	refuse("receiver/lokireceiver/tests/x_test.go", module+"exporter/lokiexporter", "receiver/lokireceiver")
	accept("receiver/prometheusscrapereceiver/tests/x_test.go", module+"exporter/prometheuswalexporter")
	refuse("receiver/prometheusscrapereceiver/tests/y_test.go", module+"exporter/lokiexporter", "receiver/prometheusscrapereceiver tests")
	refuse("receiver/prometheusscrapereceiver/code/x.go", module+"exporter/prometheuswalexporter", "receiver/prometheusscrapereceiver")

	// What remote_config may have of the service, and where.
	const remote = "extension/remoteconfigextension"
	accept(remote+"/remotepipelines/x/x.go", "go.opentelemetry.io/collector/otelcol")
	accept(remote+"/remotepipelines/x/y.go", module+remote+"/confinement")
	refuse(remote+"/remotepipelines/x/z.go", module+"receiver/lokireceiver", remote+"/remotepipelines")
	refuse(remote+"/confinement/x/x.go", "go.opentelemetry.io/collector/otelcol", remote)

	// Shared packages do not know who uses them.
	for _, dir := range internalFolders(t) {
		refuse(dir+"/component/component.go", module+"receiver/sibling", "internal")
		refuse(dir+"/component/component_test.go", module+"exporter/lokiexporter", "internal")
		accept(dir+"/shared/shared.go", module+"internal/promlane")
	}
	refuse("internal/promlane/x/x.go", module+"distributions/invar", "internal")

	refuse("cmd/invar-fleet/internal/x/x.go", module+remote, "cmd/invar-fleet")
	accept("cmd/invar-fleet/internal/x/y.go", module+"cmd/invar-fleet/internal/fleet")

	got := m.lint(t)
	for _, v := range want {
		if rule, ok := got[v.file+" "+v.imports]; !ok {
			t.Errorf("%s may import %s", v.file, v.imports)
		} else if rule != v.rule {
			t.Errorf("%s may not import %s by the rule %q, not %q", v.file, v.imports, rule, v.rule)
		}
		delete(got, v.file+" "+v.imports)
	}
	for _, refused := range slices.Sorted(maps.Keys(got)) {
		t.Errorf("the rule %q refuses %s", got[refused], refused)
	}
}

// componentFolders returns the folders of our components, like
// receiver/lokireceiver.
func componentFolders(t *testing.T) []string {
	t.Helper()
	var folders []string
	for _, kind := range []string{"connector", "converter", "exporter", "extension", "processor", "provider", "receiver"} {
		entries, err := os.ReadDir(filepath.Join(root, kind))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			folders = append(folders, kind+"/"+entry.Name())
		}
	}
	return folders
}

// internalFolders returns the folders below internal/, but for those that are
// other modules.
func internalFolders(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "internal"))
	if err != nil {
		t.Fatal(err)
	}
	var folders []string
	for _, entry := range entries {
		if _, err := os.Stat(filepath.Join(root, "internal", entry.Name(), "go.mod")); err != nil {
			folders = append(folders, "internal/"+entry.Name())
		}
	}
	return folders
}

// scratch is a module that has the name, the configuration of the linter and the
// layout of this one, and in it packages that are empty but for their imports.
type scratch struct{ dir string }

// other are the modules that files in the scratch module import.
var other = map[string]string{
	"go.opentelemetry.io/collector/otelcol":                                "",
	"github.com/open-telemetry/opentelemetry-collector-contrib/exporter/x": "",
}

func newScratch(t *testing.T) scratch {
	t.Helper()
	s := scratch{t.TempDir()}
	config, err := os.ReadFile(filepath.Join(root, ".golangci.yml"))
	if err != nil {
		t.Fatal(err)
	}
	s.write(t, ".golangci.yml", string(config))
	goMod := "module " + strings.TrimSuffix(module, "/") + "\n\ngo 1.26.0\n"
	for i, name := range slices.Sorted(maps.Keys(other)) {
		at := fmt.Sprintf("other/%d", i)
		goMod += fmt.Sprintf("\nrequire %s v0.0.0\n\nreplace %s => ./%s\n", name, name, at)
		s.write(t, at+"/go.mod", "module "+name+"\n")
		s.write(t, at+"/other.go", "package other\n")
	}
	s.write(t, "go.mod", goMod)
	return s
}

// add writes a file with one import, and the package it imports.
func (s scratch) add(t *testing.T, file, imports string) {
	t.Helper()
	if inside, ok := strings.CutPrefix(imports, module); ok {
		s.write(t, inside+"/doc.go", "package "+packageName(inside)+"\n")
	}
	s.write(t, file, fmt.Sprintf("package %s\n\nimport _ %q\n", packageName(filepath.Dir(file)), imports))
}

func packageName(dir string) string { return strings.ReplaceAll(filepath.Base(dir), "-", "") }

func (s scratch) write(t *testing.T, file, content string) {
	t.Helper()
	path := filepath.Join(s.dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

var refusal = regexp.MustCompile(`^import '(.*)' is not allowed from list '(.*)': `)

// lint returns the rules that refuse imports, by "file import".
func (s scratch) lint(t *testing.T) map[string]string {
	t.Helper()
	linter, err := exec.Command("go", "tool", "-n", "golangci-lint").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(strings.TrimSpace(string(linter)), "run", "--allow-parallel-runners", "--enable-only=depguard",
		"--output.json.path=stdout", "--show-stats=false", "--max-same-issues=0", "--max-issues-per-linter=0", "./...")
	cmd.Dir = s.dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("want exit status 1, for issues: %v\n%s\n%s", err, stderr.Bytes(), out)
	}
	var report struct {
		Issues []struct {
			Text string
			Pos  struct{ Filename string }
		}
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	refused := make(map[string]string, len(report.Issues))
	for _, issue := range report.Issues {
		match := refusal.FindStringSubmatch(issue.Text)
		if match == nil {
			t.Errorf("%s: %s", issue.Pos.Filename, issue.Text)
			continue
		}
		refused[issue.Pos.Filename+" "+match[1]] = match[2]
	}
	return refused
}
