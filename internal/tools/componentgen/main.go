// Command componentgen runs mdatagen, the collector's generator, for every
// metadata.yaml of the module:
//
//	metadata.yaml ──mdatagen──▶ internal/metadata/generated_*.go      type, stability, own metrics
//	                       ├──▶ internal/metadatatest/generated_*.go  asserts on own metrics
//	                       ├──▶ generated_*_test.go                   life cycle, leaked goroutines
//	                       ├──▶ documentation.md                      own metrics, for users
//	                       └──▶ README.md                             the status, between its markers
//
// mdatagen writes beside the metadata.yaml it reads. componentgen gives it a
// scratch module that contains only the metadata.yaml and README.md files, and
// copies the result back. With -check it writes nothing: it compares, and exits
// with status 1 if a file is stale, missing or left over.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	root := flag.String("root", ".", "folder that holds go.mod")
	check := flag.Bool("check", false, "report stale files instead of writing")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "componentgen:", err)
		os.Exit(1)
	}
}

// run generates the files of every component under root, or compares them.
func run(root string, check bool) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	dirs, err := components(root)
	if err != nil {
		return err
	}
	mdatagen, err := exec.Command("go", "tool", "-n", "mdatagen").Output()
	if err != nil {
		return fmt.Errorf("build mdatagen: %w", withStderr(err))
	}
	want, err := generate(strings.TrimSpace(string(mdatagen)), root, dirs)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		got, err := generated(filepath.Join(root, dir))
		if err != nil {
			return err
		}
		if check {
			err = compare(filepath.Join(root, dir), got, want[dir])
		} else {
			err = replace(filepath.Join(root, dir), got, want[dir])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// components returns the folders of the module at root that hold a
// metadata.yaml, relative to root.
func components(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root {
			if name := entry.Name(); name == "testdata" || strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil {
				return fs.SkipDir // another module
			}
		}
		if entry.Name() == "metadata.yaml" {
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			dirs = append(dirs, dir)
		}
		return nil
	})
	return dirs, err
}

// files are contents by path, relative to a component's folder.
type files map[string][]byte

// generate returns what mdatagen makes for each folder.
func generate(mdatagen, root string, dirs []string) (map[string]files, error) {
	scratch, err := os.MkdirTemp("", "componentgen")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }()

	goMod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	module, _, _ := bytes.Cut(goMod, []byte("\n"))
	if err := os.WriteFile(filepath.Join(scratch, "go.mod"), append(module, '\n'), 0o600); err != nil {
		return nil, err
	}
	result := make(map[string]files, len(dirs))
	for _, dir := range dirs {
		to := filepath.Join(scratch, dir)
		if err := prepare(filepath.Join(root, dir), to); err != nil {
			return nil, err
		}
		cmd := exec.Command(mdatagen, "metadata.yaml")
		cmd.Dir = to
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("generate from %s: %w\n%s", filepath.Join(dir, "metadata.yaml"), err, out)
		}
		if result[dir], err = generated(to); err != nil {
			return nil, err
		}
		if readme, ok := result[dir]["README.md"]; ok {
			result[dir]["README.md"] = foreignRows.ReplaceAll(readme, nil)
		}
	}
	return result, nil
}

// foreignRows are the rows of the status table about the distributions, the issue
// tracker and the coverage reports of the OpenTelemetry project.
var foreignRows = regexp.MustCompile(`(?m)^\| (Distributions|Issues|Code coverage) +\| .*\n`)

// prepare copies into the folder to what mdatagen reads of the component at
// from. It asks `go list` for the import path, which needs a Go file.
func prepare(from, to string) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	source := "package " + strings.ToLower(filepath.Base(to)) + "\n"
	if err := os.WriteFile(filepath.Join(to, "package.go"), []byte(source), 0o600); err != nil {
		return err
	}
	for _, name := range []string{"metadata.yaml", "README.md"} {
		content, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// generated returns the files in a component's folder that mdatagen owns or, in
// the case of README.md, writes a part of.
func generated(dir string) (files, error) {
	found := make(files)
	for _, pattern := range []string{
		"README.md", "documentation.md", "generated_*.go",
		"internal/metadata/generated_*.go", "internal/metadatatest/generated_*.go",
	} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				return nil, err
			}
			found[filepath.Join(filepath.Dir(pattern), filepath.Base(path))] = content
		}
	}
	return found, nil
}

// compare returns an error that names a file of dir that is not as wanted.
func compare(dir string, got, want files) error {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if !bytes.Equal(got[name], want[name]) {
			return fmt.Errorf("%s does not match metadata.yaml; run `make generate` and commit the result", filepath.Join(dir, name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return fmt.Errorf("%s is left over: metadata.yaml does not lead to it; run `make generate` and commit the result", filepath.Join(dir, name))
		}
	}
	return nil
}

// replace makes the generated files of dir those that are wanted.
func replace(dir string, got, want files) error {
	for name := range got {
		if _, ok := want[name]; !ok {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name, content := range want {
		path := filepath.Join(dir, name)
		if bytes.Equal(got[name], content) {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// withStderr adds to an error of exec.Cmd.Output what the program wrote.
func withStderr(err error) error {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("%w\n%s", err, exit.Stderr)
	}
	return err
}
