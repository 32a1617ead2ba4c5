//go:build !linux

package sockets

import (
	"errors"
	"net/netip"
)

// Listening is not supported: only Linux tells a process its sockets without a
// privilege.
func Listening() (Set, error) { return nil, errors.ErrUnsupported }

// Connected is not supported either.
func Connected(_, _ netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported }
