// Package sockets reports what this process listens on, whether it owns the other
// end of a connection, and which hosts are loopback.
package sockets

import (
	"errors"
	"net/netip"
)

// ErrClosed is returned for a connection whose other end, on this host, is closed.
var ErrClosed = errors.New("the other end is closed")

// Socket is a socket that anybody can send to: a TCP socket that listens, or a UDP
// socket that is bound and not connected.
type Socket struct {
	Network string // tcp or udp
	Address netip.AddrPort
}

// String returns the address with its protocol, as in 0.0.0.0:4317/tcp.
func (s Socket) String() string { return s.Address.String() + "/" + s.Network }

// Set is a set of sockets.
type Set map[Socket]struct{}
