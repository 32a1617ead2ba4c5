package sockets

import "net/netip"

// IsLoopback reports whether only this host can reach a listener on host, which is
// a name or an IP address without brackets and port. The only such name is
// localhost: others may resolve to a different address later.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
