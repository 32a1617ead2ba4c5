package confinement

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/invar-otel/invar/internal/sockets"
)

// anyAddress matches every host or port in AllowedListenAddresses.
const anyAddress = "*"

// listenTexts are the keys of listen addresses that are plain texts, not a
// confignet.AddrConfig: either component::path, or the last key in any component.
var listenTexts = map[string]bool{
	"listen_address":                                       true,
	"receiver/fluent_forward::endpoint":                    true,
	"receiver/jaeger::protocols::thrift_binary::endpoint":  true,
	"receiver/jaeger::protocols::thrift_compact::endpoint": true,
	"receiver/jaeger::remote_sampling::host_endpoint":      true,
}

// Listens reports whether the text at a key is an address to listen on. It is
// exported for the test of a binary's component set. id is kind/type with the
// current type; key is the path of the key and begins with ::.
func Listens(id, key string) bool {
	return listenTexts[key[strings.LastIndex(key, ":")+1:]] || listenTexts[id+key]
}

// dialed are structs of listen addresses that a client connects to. Other clients
// use plain texts.
var dialed = map[string]bool{"receiver/kubelet_stats": true}

// unused maps servers to the key in them that must be true for them to run.
var unused = map[string]string{"receiver/prometheus::api_server": "enabled"}

// listens checks an address to listen on.
func (c *checker) listens(path, transport, address string) {
	if strings.HasPrefix(transport, "unix") {
		c.unixSocket(path, transport, address)
		return
	}
	if m := unixAddress.FindStringSubmatch(address); m != nil {
		c.unixSocket(path, strings.ToLower(m[1]), m[2])
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "" // the component chooses the port
	}
	if sockets.IsLoopback(host) || c.rules.allowsListen(host, port) {
		return
	}
	if port == "" {
		port = anyAddress
	}
	c.find(path, "%q listens beyond this host; use %q, or let the administrator add %q to allowed_listen_addresses",
		address, net.JoinHostPort("127.0.0.1", strings.Replace(port, anyAddress, "4317", 1)), net.JoinHostPort(wildcardName(host), port))
}

// isWildcard reports whether a host means all interfaces.
func isWildcard(host string) bool {
	if host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsUnspecified()
}

func wildcardName(host string) string {
	if host == "" {
		return "0.0.0.0"
	}
	return host
}

// allowsListen reports whether the administrator permits an address.
func (r *Rules) allowsListen(host, port string) bool {
	return slices.ContainsFunc(r.AllowedListenAddresses, func(allowed string) bool {
		allowedHost, allowedPort, err := net.SplitHostPort(allowed)
		if err != nil || (allowedPort != anyAddress && allowedPort != port) {
			return false
		}
		if allowedHost == anyAddress || allowedHost == host || (isWildcard(allowedHost) && isWildcard(host)) {
			return true
		}
		a, errA := netip.ParseAddr(allowedHost)
		b, errB := netip.ParseAddr(host)
		return errA == nil && errB == nil && a.Unmap() == b.Unmap()
	})
}

func validateListen(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port; write it like 0.0.0.0:4317, 10.0.0.5:* or *:4317", address)
	}
	if _, err := netip.ParseAddr(host); err != nil && host != anyAddress {
		return fmt.Errorf("%q does not begin with an IP address or *; write it like 0.0.0.0:4317", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != anyAddress && (err != nil || n == 0) {
		return fmt.Errorf("%q does not end with a port or *; write it like 0.0.0.0:4317", address)
	}
	return nil
}
