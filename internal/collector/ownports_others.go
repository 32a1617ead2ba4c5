//go:build !linux

package collector

import "errors"

// ownPorts is not known here.
func ownPorts() (map[string]bool, error) {
	return nil, errors.ErrUnsupported
}
