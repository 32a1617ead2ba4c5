package confinement

import (
	"errors"
	"slices"
	"strconv"

	"github.com/invar-otel/invar/internal/sockets"
)

// Listeners is a set of sockets of this process that take what comes from other
// hosts. UDP sockets count if they are bound and not connected.
type Listeners map[sockets.Socket]struct{}

// ListenersNow returns what this process listens on beyond loopback. It is empty
// where a process is not told its sockets, which is everywhere but on Linux; what
// configurations say of addresses is checked everywhere. It may be called
// concurrently.
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
