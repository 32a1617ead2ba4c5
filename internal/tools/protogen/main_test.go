package main

import (
	"os"
	"path/filepath"
	"testing"
)

const source = `syntax = "proto3";
package test.v1;
option go_package = "example.org/testv1";
// Greeting is said.
message Greeting { string text = 1; map<string, bytes> more = 2; }
`

func TestGenerateAndCheck(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "internal", "testv1")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	proto, goFile := filepath.Join(dir, "test.proto"), filepath.Join(dir, "test.pb.go")
	if err := os.WriteFile(proto, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(root, true); err == nil {
		t.Fatal("a missing file is not stale")
	}
	if err := run(root, false); err != nil {
		t.Fatal(err)
	}
	if err := run(root, true); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goFile, []byte("package testv1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(root, true); err == nil {
		t.Fatal("a changed file is not stale")
	}
	if err := os.WriteFile(proto, []byte("syntax = "), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(root, false); err == nil {
		t.Fatal("a broken source is taken")
	}
}
