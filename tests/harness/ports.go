package harness

import (
	"net"
	"testing"

	"github.com/invar-otel/invar/tests/loopbackport"
)

// FreeAddr returns a loopback address whose port is in use neither for TCP nor for
// UDP, and which no other call in this process returns.
func FreeAddr(t testing.TB) string {
	t.Helper()
	addr, err := loopbackport.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// Port returns the port of an address from FreeAddr.
func Port(t testing.TB, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return port
}
