// Package harness runs real processes for end-to-end tests: the built invar
// and the servers it sends to.
//
//	p := harness.Prometheus(t)                      // start a real server, wait until it is ready
//	c := harness.Invar(t, harness.Options{...})     // start bin/invar with a config, wait until it runs
//	harness.Eventually(t, 10*time.Second, func() error { ... })
//
// Everything listens on free loopback ports and writes to t.TempDir, so tests
// may run in parallel. Every wait has a bound. Processes end with their test, even if
// the test binary is killed, and their output is logged if the test fails.
// `make build servers` builds the binaries; a test fails if one is missing.
package harness
