// Command metagen generates what a component's metadata.yaml determines:
//
//	internal/metadata/generated_status.go   the type and the stability per signal
//	README.md                               the status table between its markers
//
// The layout is that of upstream's mdatagen. With -check nothing is written and
// the exit status is 1 if a file is stale.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	root := flag.String("root", ".", "folder that holds receiver/, exporter/ and so on")
	check := flag.Bool("check", false, "report stale files instead of writing")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "metagen:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	paths, err := filepath.Glob(filepath.Join(root, "*", "*", "metadata.yaml"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		m, err := readMetadata(path)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		if err := put(filepath.Join(dir, "internal", "metadata", "generated_status.go"), check,
			func([]byte) ([]byte, error) { return m.status(importPath(root, dir)) }); err != nil {
			return err
		}
		if err := put(filepath.Join(dir, "README.md"), check, m.readme); err != nil {
			return err
		}
	}
	return nil
}

// importPath is the package path of a component's folder.
func importPath(root, dir string) string {
	rel := strings.TrimPrefix(filepath.ToSlash(dir), filepath.ToSlash(root))
	return "github.com/invar-otel/invar/" + strings.Trim(rel, "/")
}

// put replaces the content of a file by what render makes of it.
func put(path string, check bool, render func(current []byte) ([]byte, error)) error {
	current, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	want, err := render(current)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if bytes.Equal(current, want) {
		return nil
	}
	if check {
		return fmt.Errorf("%s does not match metadata.yaml; run `make generate` and commit the result", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, want, 0o644)
}
