//go:build !linux

package sockets

import (
	"errors"
	"net/netip"
)

// Listening returns errors.ErrUnsupported: only Linux lists a process's sockets
// without privileges.
func Listening() (Set, error) { return nil, errors.ErrUnsupported }

// Connected returns errors.ErrUnsupported.
func Connected(_, _ netip.AddrPort) (bool, error) { return false, errors.ErrUnsupported }
