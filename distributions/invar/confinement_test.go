package main

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator"
	"github.com/prometheus/prometheus/discovery"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
)

// part is a component or a part of one, with its default configuration.
type part struct {
	kind, name string
	config     any
	current    string // the type of the factory, if name is a deprecated one
}

func (p part) id() string { return p.kind + "/" + p.current }

func parts(t *testing.T) []part {
	t.Helper()
	f, err := components()
	if err != nil {
		t.Fatal(err)
	}
	var all []part
	add := func(kind string, name component.Type, factory component.Factory) {
		all = append(all, part{kind, name.String(), factory.CreateDefaultConfig(), factory.Type().String()})
	}
	for name, factory := range f.Receivers {
		add("receiver", name, factory)
	}
	for name, factory := range f.Processors {
		add("processor", name, factory)
	}
	for name, factory := range f.Exporters {
		add("exporter", name, factory)
	}
	for name, factory := range f.Connectors {
		add("connector", name, factory)
	}
	for name, factory := range f.Extensions {
		add("extension", name, factory)
	}
	return all
}

// TestEveryComponentIsClassified fails for a component that
// extension/remoteconfigextension/confinement/components.go does not list. Decide there
// whether a fleet server may use it.
func TestEveryComponentIsClassified(t *testing.T) {
	for _, p := range parts(t) {
		if !confinement.Known(p.kind, p.name) {
			t.Errorf("%s/%s is on no list of extension/remoteconfigextension/confinement/components.go", p.kind, p.name)
		}
	}
}

// leaf is a key with a text as its value.
type leaf struct {
	id   string // kind/type of the component
	path []string
}

func (l leaf) name() string   { return l.path[len(l.path)-1] }
func (l leaf) String() string { return l.id + "::" + strings.Join(l.path, "::") }

// leaves returns all keys with texts in a configuration type, by mapstructure tags
// and, for Prometheus' types, by yaml tags.
func leaves(id string, path []string, t reflect.Type, within []reflect.Type) []leaf {
	if slices.Contains(within, t) || strings.HasPrefix(t.PkgPath(), "net/url") {
		return nil
	}
	within = append(within[:len(within):len(within)], t)
	// Sizes and durations are written as texts.
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t == reflect.TypeFor[time.Duration]() {
		return []leaf{{id, path}}
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return leaves(id, path, t.Elem(), within)
	case reflect.Map:
		return append(leaves(id, append(path[:len(path):len(path)], "*"), t.Elem(), within), leaf{id, path})
	case reflect.String, reflect.Interface:
		return []leaf{{id, path}}
	case reflect.Struct:
		return fieldLeaves(id, path, t, within)
	}
	return nil
}

func fieldLeaves(id string, path []string, t reflect.Type, within []reflect.Type) []leaf {
	if strings.HasPrefix(t.Name(), "Optional[") {
		inner, _ := t.FieldByName("value")
		return leaves(id, path, inner.Type, within)
	}
	var all []leaf
	for i := range t.NumField() {
		field := t.Field(i)
		tag, tagged := field.Tag.Lookup("mapstructure")
		if !tagged {
			tag, tagged = field.Tag.Lookup("yaml")
		}
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-" || !tagged && !field.IsExported():
		case strings.Contains(options, "squash"), strings.Contains(options, "inline"), strings.Contains(options, "remain"),
			field.Anonymous && name == "":
			all = append(all, leaves(id, path, field.Type, within)...)
		default:
			if name == "" {
				name = strings.ToLower(field.Name)
			}
			all = append(all, leaves(id, append(path[:len(path):len(path)], name), field.Type, within)...)
		}
	}
	return all
}

// job is a type to which Prometheus adds the keys of all service discoveries.
type job struct {
	Configs discovery.Configs `yaml:"-"`
}

// allLeaves returns the leaves of all components, and of the parts that cannot be
// reached through a component's type.
func allLeaves(t *testing.T) []leaf {
	t.Helper()
	var all []leaf
	for _, p := range parts(t) {
		if p.config == nil {
			continue
		}
		all = append(all, leaves(p.id(), nil, reflect.TypeOf(p.config), nil)...)
		if p.id() == "receiver/host_metrics" {
			all = append(all, scraperLeaves(t, p.config)...)
		}
	}
	// The dynamic type into which Prometheus decodes service discoveries.
	if err := discovery.UnmarshalYAMLWithInlineConfigs(&job{}, func(into any) error {
		all = append(all, leaves("receiver/prometheus", nil, reflect.TypeOf(into), nil)...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	registered := reflect.ValueOf(operator.DefaultRegistry).Elem().Field(0)
	for _, name := range registered.MapKeys() {
		if create, ok := operator.Lookup(name.String()); ok {
			all = append(all, leaves("receiver/syslog", nil, reflect.TypeOf(create()), nil)...)
		}
	}
	if len(all) < 3000 {
		t.Fatalf("only %d keys found", len(all))
	}
	return all
}

func scraperLeaves(t *testing.T, config any) []leaf {
	t.Helper()
	scrapers := map[string]any{}
	for _, name := range confinement.DefaultComponents() {
		if scraper, is := strings.CutPrefix(name, "scraper/"); is {
			scrapers[scraper] = map[string]any{}
		}
	}
	scrapers["process"] = map[string]any{}
	if err := confmap.NewFromStringMap(map[string]any{"scrapers": scrapers}).Unmarshal(config); err != nil {
		t.Fatal(err)
	}
	var all []leaf
	values := reflect.ValueOf(config).Elem().FieldByName("Scrapers")
	for entries := values.MapRange(); entries.Next(); {
		all = append(all, leaves("receiver/host_metrics", nil, entries.Value().Elem().Type(), nil)...)
	}
	return all
}

// TestEveryKeyOfFilesIsClassified fails for a key that looks as if its value was a
// file, a command or a variable and that is not in
// extension/remoteconfigextension/confinement/keys.go. Add it there.
func TestEveryKeyOfFilesIsClassified(t *testing.T) {
	missing := map[string]leaf{}
	for _, l := range allLeaves(t) {
		if len(l.path) == 0 {
			continue
		}
		if name := l.name(); confinement.Suspicious(name) && !confinement.KnownKey(name) {
			missing[name] = l
		}
		// Keys that users choose may have the name of a map of labels.
		if i := slices.Index(l.path, "*"); i > 0 && i < len(l.path)-1 && confinement.HostKey(l.id, l.name()) && l.path[i-1] != "http_headers" {
			t.Errorf("%s names files below a key of the user's: enter %s in userKeys", l, l.path[i-1])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		t.Errorf("%s is not in the table of extension/remoteconfigextension/confinement/keys.go", missing[name])
	}
}

// dials are texts that look like listen addresses but are addresses of servers.
var dials = regexp.MustCompile(`^(` + strings.Join([]string{
	`receiver/docker_stats::endpoint`, `receiver/kubelet_stats::endpoint`, `receiver/nginx::endpoint`,
	`receiver/jaeger::remote_sampling::endpoint`,
	`receiver/prometheus::.*`, // of service discoveries and HTTP clients
	`extension/opamp::server::.*`,
	`extension/remote_config::.*`, // of servers; and a rule about addresses
	// Confined as components, not as listeners.
	`extension/pprof::endpoint`,
}, "|") + `)$`)

// TestEveryListenerIsClassified fails for the address of a receiver or extension that
// is neither of a type for listen addresses, nor in listenTexts of
// extension/remoteconfigextension/confinement/listen.go, nor in dials.
func TestEveryListenerIsClassified(t *testing.T) {
	looks := regexp.MustCompile(`endpoint|listen|addr|bind`)
	for _, l := range allLeaves(t) {
		if len(l.path) == 0 || !looks.MatchString(l.name()) || strings.HasPrefix(l.id, "processor/") || strings.HasPrefix(l.id, "exporter/") {
			continue
		}
		// A confignet.AddrConfig has the transport next to the endpoint.
		if l.name() == "endpoint" && hasSibling(t, l, "transport") {
			continue
		}
		if !confinement.Listens(l.id, "::"+strings.Join(l.path, "::")) && !dials.MatchString(l.String()) {
			t.Errorf("%s is not classified", l)
		}
	}
}

var known []leaf

func hasSibling(t *testing.T, l leaf, name string) bool {
	t.Helper()
	if known == nil {
		known = allLeaves(t)
	}
	want := slices.Concat(l.path[:len(l.path)-1], []string{name})
	return slices.ContainsFunc(known, func(other leaf) bool { return other.id == l.id && slices.Equal(other.path, want) })
}

// TestDefaultsAreConfined checks components with their default configurations. Some
// of them require settings.
func TestDefaultsAreConfined(t *testing.T) {
	unusable := map[string]string{
		"exporter/prometheus":          "exporters::prometheus::endpoint: \"\" listens",
		"exporter/prometheus_wal":      "wal::directory: is not set",
		"processor/resource_detection": `detector "env" is not allowed`,
		"receiver/fluent_forward":      "receivers::fluent_forward::endpoint: \"\" listens",
		"receiver/tcp_log":             "receivers::tcp_log::listen_address: \"\" listens",
		"receiver/udp_log":             "receivers::udp_log::listen_address: \"\" listens",
	}
	var rules confinement.Rules
	for _, p := range parts(t) {
		if p.current != p.name || !slices.Contains(confinement.DefaultComponents(), p.id()) || p.config == nil {
			continue
		}
		effective := confmap.New()
		if err := effective.Marshal(p.config); err != nil {
			t.Fatal(err)
		}
		err := check(t, rules, p, plain(t, effective.ToStringMap()))
		if want, listed := unusable[p.id()]; listed != (err != nil) || listed && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", p.id(), err)
		}
	}
}

// plain converts a configuration to the types that YAML produces.
func plain(t *testing.T, m map[string]any) map[string]any {
	t.Helper()
	text, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var read map[string]any
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// check applies the rules to a component, as before its start.
func check(t *testing.T, rules confinement.Rules, p part, text map[string]any) error {
	t.Helper()
	id := component.MustNewID(p.name)
	all := map[component.ID]component.Config{id: p.config}
	cfg := map[string]confinement.Components{
		"receiver": {Receivers: all}, "processor": {Processors: all}, "exporter": {Exporters: all},
		"connector": {Connectors: all}, "extension": {Extensions: all},
	}[p.kind]
	return rules.CheckResolved(map[string]any{p.kind + "s": map[string]any{p.name: text}}, cfg)
}

// TestRealServersAreConfined decodes configurations of components of the binary that
// listen on all interfaces.
func TestRealServersAreConfined(t *testing.T) {
	byID := map[string]part{}
	for _, p := range parts(t) {
		byID[p.kind+"/"+p.name] = p
	}
	f := func(id, text, want string) {
		t.Helper()
		for _, host := range []string{"0.0.0.0", ""} {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(strings.ReplaceAll(text, "HOST", host)))
			if err != nil {
				t.Fatal(err)
			}
			conf, err := retrieved.AsConf()
			if err != nil {
				t.Fatal(err)
			}
			p, ok := byID[id]
			if !ok {
				t.Fatalf("%s is not in the binary", id)
			}
			if err := conf.Unmarshal(p.config); err != nil {
				t.Fatal(err)
			}
			var rules confinement.Rules
			if err := check(t, rules, p, conf.ToStringMap()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "listens beyond") {
				t.Errorf("%s: %v", id, err)
			}
			rules.AllowedListenAddresses = []string{"0.0.0.0:1234"}
			if err := check(t, rules, p, conf.ToStringMap()); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
	f("receiver/otlp", `{protocols: {grpc: {endpoint: "HOST:1234"}}}`, "receivers::otlp::protocols::grpc::endpoint")
	f("receiver/otlp", `{protocols: {http: {endpoint: "HOST:1234"}}}`, "receivers::otlp::protocols::http::endpoint")
	f("receiver/loki", `{protocols: {http: {endpoint: "HOST:1234"}}}`, "receivers::loki::protocols::http::endpoint")
	f("receiver/pyroscope", `{protocols: {http: {endpoint: "HOST:1234"}}}`, "receivers::pyroscope::protocols::http::endpoint")
	f("receiver/jaeger", `{protocols: {thrift_compact: {endpoint: "HOST:1234"}}}`, "receivers::jaeger::protocols::thrift_compact::endpoint")
	f("receiver/jaeger", `{protocols: {thrift_http: {endpoint: "HOST:1234"}}}`, "receivers::jaeger::protocols::thrift_http::endpoint")
	f("receiver/jaeger", `{protocols: {grpc: {endpoint: "HOST:1234"}}}`, "receivers::jaeger::protocols::grpc::endpoint")
	f("receiver/zipkin", `{endpoint: "HOST:1234"}`, "receivers::zipkin::endpoint")
	f("receiver/influxdb", `{endpoint: "HOST:1234"}`, "receivers::influxdb::endpoint")
	f("receiver/statsd", `{endpoint: "HOST:1234"}`, "receivers::statsd::endpoint")
	f("receiver/fluentforward", `{endpoint: "HOST:1234"}`, "receivers::fluentforward::endpoint")
	f("receiver/tcp_log", `{listen_address: "HOST:1234"}`, "receivers::tcp_log::listen_address")
	f("receiver/udplog", `{listen_address: "HOST:1234"}`, "receivers::udplog::listen_address")
	f("receiver/syslog", `{tcp: {listen_address: "HOST:1234"}}`, "receivers::syslog::tcp::listen_address")
	f("receiver/syslog", `{udp: {listen_address: "HOST:1234"}}`, "receivers::syslog::udp::listen_address")
	f("receiver/prometheus", `{api_server: {enabled: true, server_config: {endpoint: "HOST:1234"}}}`, "receivers::prometheus::api_server::server_config::endpoint")
	f("exporter/prometheus", `{endpoint: "HOST:1234"}`, "exporters::prometheus::endpoint")
}
