// Package e2e tests the built invar binary against real servers and real
// clients. Tests assert on what the backend at the end returns.
package e2e

import (
	"os"
	"testing"

	"github.com/invar-otel/invar/tests/memlock"
)

// TestMain lets the test binary also be the separate process that writes logs
// (see filetail_test.go), and one that becomes invar (see memlock).
func TestMain(m *testing.M) {
	memlock.Become()
	if spec := os.Getenv(writerEnv); spec != "" {
		os.Exit(runWriter(spec))
	}
	os.Exit(m.Run())
}
