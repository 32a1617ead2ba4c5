// Package loopbackport finds loopback addresses for tests and benchmarks to listen on.
package loopbackport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
)

// Ports are taken from below Linux' ephemeral range, so that no outgoing
// connection of the machine can take one between the check and its use.
const (
	firstPort = 20000
	lastPort  = 32000
)

var ports = struct {
	sync.Mutex
	next int // starts at random: test binaries of several packages run at once
}{next: firstPort + rand.IntN(lastPort-firstPort)}

// FreeAddr returns a loopback address whose port is in use neither for TCP nor for
// UDP, and which no other call in this process returns. It may be called
// concurrently.
func FreeAddr() (string, error) {
	ports.Lock()
	defer ports.Unlock()
	for range lastPort - firstPort {
		addr := fmt.Sprintf("127.0.0.1:%d", ports.next)
		if ports.next++; ports.next > lastPort {
			ports.next = firstPort
		}
		if isFree(addr) {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port between %d and %d", firstPort, lastPort)
}

// isFree binds the address for a moment. A process forked in that moment would
// hold a copy of the socket until its exec, longer than we do: the lock keeps
// forks out.
func isFree(addr string) bool {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	defer l.Close()
	p, err := net.ListenPacket("udp", addr)
	if err != nil {
		return false
	}
	return p.Close() == nil
}
