package sockets

import "net/netip"

// IsLoopback reports whether only this host reaches what listens on host: a name or
// an IP address, without brackets and port. Names other than localhost may mean
// anything tomorrow.
func IsLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
