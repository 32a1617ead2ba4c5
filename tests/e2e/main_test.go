// Package e2e tests the built invar binary against real servers and real
// clients. Tests assert on what the backend at the end returns.
package e2e

import (
	"os"
	"testing"
)

// TestMain lets the test binary also be the separate process that writes logs
// (see filetail_test.go).
func TestMain(m *testing.M) {
	if spec := os.Getenv(writerEnv); spec != "" {
		os.Exit(runWriter(spec))
	}
	os.Exit(m.Run())
}
