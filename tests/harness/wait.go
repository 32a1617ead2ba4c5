package harness

import (
	"testing"
	"time"
)

// pollInterval is the pause between two checks of a condition.
const pollInterval = 50 * time.Millisecond

// Eventually calls check until it returns nil, and fails the test with its
// last error if that takes longer than timeout. check runs on the test's
// goroutine and must itself be bounded.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", timeout, err)
		}
		time.Sleep(pollInterval)
	}
}
