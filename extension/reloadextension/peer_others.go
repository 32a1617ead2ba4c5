//go:build !linux

package reloadextension

import (
	"errors"
	"net"
)

// isOwnUnix is not supported.
func isOwnUnix(*net.UnixConn) (bool, error) { return false, errors.ErrUnsupported }
