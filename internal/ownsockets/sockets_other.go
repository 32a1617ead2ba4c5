//go:build !linux

package ownsockets

import "errors"

// Listening is not supported: only Linux tells a process its sockets without a
// privilege.
func Listening() (Set, error) { return nil, errors.ErrUnsupported }
