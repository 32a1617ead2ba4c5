package confinement

import (
	"net/netip"
	"slices"
	"strconv"
)

// Listener is a socket that takes what comes from other hosts.
type Listener struct {
	Network string // tcp or udp
	Address netip.AddrPort
}

// String is the address with its protocol, as in 0.0.0.0:4317/tcp.
func (l Listener) String() string { return l.Address.String() + "/" + l.Network }

// Listeners is a set of sockets of this process. UDP sockets count if they are
// bound and not connected.
type Listeners map[Listener]struct{}

// New tells what listens in now that did not in before, except what
// AllowedListenAddresses permits, in order. The sets are only read. What the
// local pipelines opened in between is among it: compare while they stand still.
func (r *Rules) New(before, now Listeners) []string {
	var opened []string
	for l := range now {
		if _, known := before[l]; known {
			continue
		}
		if !r.allowsListen(l.Address.Addr().String(), strconv.Itoa(int(l.Address.Port()))) {
			opened = append(opened, l.String())
		}
	}
	slices.Sort(opened)
	return opened
}
