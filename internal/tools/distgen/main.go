// Command distgen keeps distributions/<name> in step with builder-config.yaml.
//
//	builder-config.yaml ──OCB──▶ components.go, main.go   (copied, formatted)
//	                    └─────▶ requires, replaces and excludes in go.mod, then `go mod tidy`
//
// OCB alone would also write go.mod, but with absolute paths to local modules
// and with every indirect version resolved anew; distgen edits the committed
// go.mod instead, so that a change of one line in the manifest is a small diff.
// OCB's main_others.go and main_windows.go are left out: the run function they
// hold is ours, in run.go.
//
// With -check nothing is written and nothing is downloaded; the exit status is
// 1 if a file is not what generation would write.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
)

// copied are the files taken from OCB as they are, apart from formatting.
var copied = []string{"components.go", "main.go"}

func main() {
	root := flag.String("root", ".", "folder that holds builder-config.yaml")
	check := flag.Bool("check", false, "report stale files instead of writing")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "distgen:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	m, err := readManifest(filepath.Join(root, "builder-config.yaml"))
	if err != nil {
		return err
	}
	files, err := generate(root, m)
	if err != nil {
		return err
	}
	target := filepath.Join(root, m.Dist.OutputPath)
	goMod := filepath.Join(target, "go.mod")
	current, err := os.ReadFile(goMod)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if files["go.mod"], err = syncGoMod(current, m); err != nil {
		return fmt.Errorf("update %s: %w", goMod, err)
	}
	if check {
		return compare(target, files)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(target, name), content, 0o644); err != nil {
			return err
		}
	}
	if err := command(target, "go", "mod", "tidy"); err != nil {
		return err
	}
	tidied, err := os.ReadFile(goMod)
	if err != nil {
		return err
	}
	return verifyVersions(tidied, m)
}

// generate runs OCB in a scratch folder and returns the files to keep.
func generate(root string, m *manifest) (map[string][]byte, error) {
	scratch, err := os.MkdirTemp("", "distgen")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()

	config := filepath.Join(scratch, "builder-config.yaml")
	output := filepath.Join(scratch, "out")
	content, err := m.withOutput(output)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(config, content, 0o600); err != nil {
		return nil, err
	}
	err = command(root, "go", "tool", "-modfile="+filepath.Join("internal", "tools", "go.mod"), "builder",
		"--config", config, "--skip-get-modules", "--skip-compilation")
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(copied)+1)
	for _, name := range copied {
		source, err := os.ReadFile(filepath.Join(output, name))
		if err != nil {
			return nil, err
		}
		if files[name], err = format.Source(source); err != nil {
			return nil, fmt.Errorf("format %s: %w", name, err)
		}
	}
	return files, nil
}

func compare(target string, files map[string][]byte) error {
	for name, want := range files {
		path := filepath.Join(target, name)
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s does not match builder-config.yaml; run `make generate` and commit the result", path)
		}
	}
	return nil
}

// command runs a program in dir and shows its output only if it fails.
func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}
