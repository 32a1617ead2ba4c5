package confinement

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/loopback"
)

// anyAddress is a host or port of AllowedListenAddresses that matches all.
const anyAddress = "*"

// listenTexts are addresses to listen on that are texts and not a
// confignet.AddrConfig, as component::key path, or as the last key of any.
var listenTexts = map[string]bool{
	"listen_address":                                       true,
	"receiver/fluent_forward::endpoint":                    true,
	"receiver/jaeger::protocols::thrift_binary::endpoint":  true,
	"receiver/jaeger::protocols::thrift_compact::endpoint": true,
	"receiver/jaeger::remote_sampling::host_endpoint":      true,
}

// Listens tells whether a text is an address to listen on, for the test of a
// binary's component set. id is kind/type with the current type; the path of
// the key begins with ::.
func Listens(id, key string) bool {
	return listenTexts[key[strings.LastIndex(key, ":")+1:]] || listenTexts[id+key]
}

// unused are servers that run only if the key beside them says so.
var unused = map[string]string{"receiver/prometheus::api_server": "enabled"}

// listening looks for addresses in the decoded configurations.
func (c *checker) listening(cfg Components) {
	for _, of := range []struct {
		section string
		configs map[component.ID]component.Config
	}{
		{"receivers", cfg.Receivers}, {"processors", cfg.Processors}, {"exporters", cfg.Exporters},
		{"connectors", cfg.Connectors}, {"extensions", cfg.Extensions},
	} {
		kind := sections[of.section]
		byName := func(a, b component.ID) int { return strings.Compare(a.String(), b.String()) }
		for _, id := range slices.SortedFunc(maps.Keys(of.configs), byName) {
			name := kind + "/" + canonical(kind, id.Type().String())
			s := servers{checker: c, component: name, path: of.section + confmap.KeyDelimiter + id.String()}
			s.walk(reflect.ValueOf(of.configs[id]), "", 0)
		}
	}
}

// servers walks one decoded configuration.
type servers struct {
	checker   *checker
	component string
	path      string
}

// walk looks at a value, at a key path within the component.
func (s servers) walk(v reflect.Value, key string, depth int) {
	if depth > maxDepth || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			s.walk(v.Elem(), key, depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			s.walk(v.Index(i), fmt.Sprintf("%s::%d", key, i), depth+1)
		}
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			s.walk(entries.Value(), fmt.Sprintf("%s::%v", key, entries.Key()), depth+1)
		}
	case reflect.String:
		if Listens(s.component, key) {
			s.check("tcp", v.String(), key)
		}
	case reflect.Struct:
		if inner, is := optional(v); is {
			s.walk(inner, key, depth+1)
			return
		}
		s.fields(v, key, depth)
	}
}

func (s servers) fields(v reflect.Value, key string, depth int) {
	// No component of the binary connects to an address of these types: clients
	// have a text.
	switch address := v.Interface().(type) {
	case confignet.AddrConfig:
		s.check(string(address.Transport), address.Endpoint, key+"::endpoint")
		return
	case confignet.TCPAddrConfig:
		s.check("tcp", address.Endpoint, key+"::endpoint")
		return
	}
	if s.off(v, key) {
		return
	}
	t := v.Type()
	for i := range t.NumField() {
		field := t.Field(i)
		if !field.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		at := key
		if !strings.Contains(options, "squash") && name != "" {
			at += confmap.KeyDelimiter + name
		}
		s.walk(v.Field(i), at, depth+1)
	}
}

// off tells whether a server is configured but not used.
func (s servers) off(v reflect.Value, key string) bool {
	toggle := unused[s.component+key]
	if toggle == "" {
		return false
	}
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("mapstructure"), ","); name == toggle {
			return v.Field(i).Kind() == reflect.Bool && !v.Field(i).Bool()
		}
	}
	return false
}

// optional reads a configoptional.Optional of any type; the value is invalid if
// there is none.
func optional(v reflect.Value) (reflect.Value, bool) {
	if !strings.HasPrefix(v.Type().Name(), "Optional[") {
		return reflect.Value{}, false
	}
	holder := reflect.New(v.Type())
	holder.Elem().Set(v)
	get := holder.MethodByName("Get")
	if !get.IsValid() || get.Type().NumIn() != 0 || get.Type().NumOut() != 1 {
		return reflect.Value{}, false
	}
	return get.Call(nil)[0], true
}

// check looks at one address.
func (s servers) check(transport, address, key string) {
	path := s.path + key
	if strings.HasPrefix(transport, "unix") {
		s.checker.unixSocket(path, transport, address)
		return
	}
	if m := unixAddress.FindStringSubmatch(address); m != nil {
		s.checker.unixSocket(path, strings.ToLower(m[1]), m[2])
		return
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = address, "" // what listens there decides on the port
	}
	if loopback.IsHost(host) || s.checker.rules.allowsListen(host, port) {
		return
	}
	if port == "" {
		port = anyAddress
	}
	s.checker.find(path, "%q listens beyond this host; use %q, or let the administrator add %q to allowed_listen_addresses",
		address, net.JoinHostPort("127.0.0.1", strings.Replace(port, anyAddress, "4317", 1)), net.JoinHostPort(wildcardName(host), port))
}

// isWildcard tells whether a host means all interfaces.
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

// allowsListen tells whether the administrator permits an address.
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
