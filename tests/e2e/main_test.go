// Package e2e tests the built invar binary with real servers and real clients. Tests
// assert on what the backend returns.
package e2e

import (
	"os"
	"testing"

	"github.com/invar-otel/invar/tests/memlock"
)

// TestMain also runs the test binary as a separate process that writes logs (see
// filetail_test.go), or as one that executes invar (see memlock).
func TestMain(m *testing.M) {
	memlock.Become()
	if spec := os.Getenv(writerEnv); spec != "" {
		os.Exit(runWriter(spec))
	}
	os.Exit(m.Run())
}
