package confinement

import (
	"errors"
	"slices"
	"strconv"

	"github.com/invar-otel/invar/internal/sockets"
)

// Listeners is a set of sockets of this process that other hosts can reach: TCP
// sockets that listen, and UDP sockets that are bound and not connected.
type Listeners map[sockets.Socket]struct{}

// ListenersNow returns what this process listens on beyond loopback. It returns an
// empty set on systems other than Linux, which do not list a process's sockets;
// there only addresses in configurations are checked. It is safe for concurrent
// use.
func ListenersNow() (Listeners, error) {
	sockets, err := sockets.Listening()
	if errors.Is(err, errors.ErrUnsupported) {
		return Listeners{}, nil
	}
	if err != nil {
		return nil, err
	}
	listeners := Listeners{}
	for s := range sockets {
		if !s.Address.Addr().IsLoopback() {
			listeners[s] = struct{}{}
		}
	}
	return listeners, nil
}

// New returns the sockets in now that are not in before and that
// AllowedListenAddresses does not permit, sorted. It does not modify the sets. It
// cannot tell sockets of local pipelines apart: the caller must not start those
// between the two snapshots.
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
