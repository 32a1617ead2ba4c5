// Command protogen generates Go from the .proto files of this repository, with
// the official generator and a compiler written in Go, so that no protoc has to
// be installed.
//
//	go run ./protogen [-check] -root DIR
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	root := flag.String("root", ".", "folder of the repository")
	check := flag.Bool("check", false, "fail if a generated file is stale, instead of writing it")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

// run generates the Go files of every .proto file below root/internal, each
// beside its source.
func run(root string, check bool) error {
	return filepath.WalkDir(filepath.Join(root, "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".proto" {
			return err
		}
		files, err := generate(path)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for name, content := range files {
			if err := put(filepath.Join(filepath.Dir(path), name), content, check); err != nil {
				return err
			}
		}
		return nil
	})
}

// generate returns the Go files for one .proto file by their base names.
func generate(path string) (map[string]string, error) {
	name := filepath.Base(path)
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{filepath.Dir(path)}}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), name)
	if err != nil {
		return nil, err
	}
	parameter := "paths=source_relative"
	plugin, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{name},
		Parameter:      &parameter,
		ProtoFile:      []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(compiled[0])},
	})
	if err != nil {
		return nil, err
	}
	internal_gengo.GenerateFile(plugin, plugin.FilesByPath[name])
	response := plugin.Response()
	if response.Error != nil {
		return nil, errors.New(*response.Error)
	}
	files := make(map[string]string, len(response.File))
	for _, f := range response.File {
		files[filepath.Base(f.GetName())] = withoutVersions(f.GetContent())
	}
	return files, nil
}

// withoutVersions drops the lines that name the generator's and the compiler's
// versions: go.mod pins the one, and there is no protoc.
func withoutVersions(content string) string {
	lines := strings.Split(content, "\n")
	kept := lines[:0]
	for _, l := range lines {
		if strings.HasPrefix(l, "// versions:") || strings.HasPrefix(l, "// \tprotoc") {
			continue
		}
		kept = append(kept, l)
	}
	return strings.Join(kept, "\n")
}

func put(path, content string, check bool) error {
	old, err := os.ReadFile(path)
	if err == nil && bytes.Equal(old, []byte(content)) {
		return nil
	}
	if check {
		return fmt.Errorf("%s is stale; run make generate", path)
	}
	return os.WriteFile(path, []byte(content), 0o644)
}
