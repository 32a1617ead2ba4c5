package confinement

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confignet"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/configwalk"
)

// decoded checks the configurations that components receive, defaults included:
// the addresses they listen on, and all rules for texts and keys. Permitting a
// component that is refused by default permits its defaults too; resolved shows
// which values are not defaults.
func (c *checker) decoded(resolved map[string]any, cfg Components) {
	for _, s := range []struct {
		section string
		configs map[component.ID]component.Config
	}{
		{"receivers", cfg.Receivers}, {"processors", cfg.Processors}, {"exporters", cfg.Exporters},
		{"connectors", cfg.Connectors}, {"extensions", cfg.Extensions},
	} {
		kind := sections[s.section]
		written, _ := parsed(resolved[s.section]).(map[string]any)
		byName := func(a, b component.ID) int { return strings.Compare(a.String(), b.String()) }
		for _, id := range slices.SortedFunc(maps.Keys(s.configs), byName) {
			d := decodedComponent{
				checker: c, id: kind + "/" + canonical(kind, id.Type().String()),
				path: s.section + confmap.KeyDelimiter + id.String(),
			}
			if allowedReasons[d.id] == "" {
				d.written = writtenAs(written, id)
			}
			configwalk.Walk(s.configs[id], d.visit)
		}
	}
}

// decodedComponent walks one decoded configuration.
type decodedComponent struct {
	checker *checker
	id      string
	path    string
	written map[string]any // its configuration as written; nil to check defaults too
}

// writtenAs returns the component's configuration as written. It is never nil.
func writtenAs(section map[string]any, id component.ID) map[string]any {
	for name, value := range section {
		var written component.ID
		if written.UnmarshalText([]byte(name)) == nil && written == id {
			if m, _ := parsed(value).(map[string]any); m != nil {
				return m
			}
		}
	}
	return map[string]any{}
}

// isDefault reports whether the value at a path is an exempt default.
func (d decodedComponent) isDefault(path configwalk.Path) bool {
	if d.written == nil {
		return false
	}
	var at any = d.written
	for _, key := range path {
		m, is := parsed(at).(map[string]any)
		if !is {
			return false
		}
		if at, is = m[key.Name]; !is {
			return true
		}
	}
	return false
}

func (d decodedComponent) visit(path configwalk.Path, v reflect.Value) bool {
	key := path.String()
	if v.Kind() == reflect.Struct {
		if d.isUnused(v, key) || d.server(v, key) {
			return false
		}
		d.folder(v, key)
	}
	if d.discoveries(v, key) || len(path) == 0 {
		return true
	}
	text, isText := configwalk.Text(v)
	if isText && Listens(d.id, key) {
		d.checker.listens(d.path+key, "tcp", text)
	}
	if d.isDefault(path) {
		return true
	}
	parent, at := d.place(path)
	at.free = parent.holdsFree() && isText
	// A zero value was not set, unless it is an entry of a map.
	if path[len(path)-1].Free || !v.IsZero() {
		var value any = struct{}{} // stands for any value without a rule of its own
		switch {
		case isText:
			value = text
		case v.Kind() == reflect.Bool:
			value = v.Bool()
		}
		d.checker.special(parent, at, path[len(path)-1].Name, value)
	}
	if isText {
		d.checker.text(at, text)
	}
	return true
}

// place returns the place of a value and that of its parent. The item of a list
// has the place of the list.
func (d decodedComponent) place(path configwalk.Path) (parent, at place) {
	at = place{path: d.path, id: d.id}
	for _, key := range path {
		if key.Item {
			at.path += confmap.KeyDelimiter + key.Name
			at.item = true
			continue
		}
		parent, at = at, at.child(key.Name)
	}
	return parent, at
}

// server checks a struct that is an address to listen on, and reports whether v
// is one.
func (d decodedComponent) server(v reflect.Value, key string) bool {
	if !v.CanInterface() || dialed[d.id+key] {
		return false
	}
	switch address := v.Interface().(type) {
	case confignet.AddrConfig:
		d.checker.listens(d.path+key+"::endpoint", string(address.Transport), address.Endpoint)
	case confignet.TCPAddrConfig:
		d.checker.listens(d.path+key+"::endpoint", "tcp", address.Endpoint)
	default:
		return false
	}
	return true
}

// isUnused reports whether a server is configured but not run.
func (d decodedComponent) isUnused(v reflect.Value, key string) bool {
	toggle := unused[d.id+key]
	if toggle == "" {
		return false
	}
	field, found := fieldOf(v, toggle)
	return found && field.Kind() == reflect.Bool && !field.Bool()
}

// folder checks a struct that names a folder to write to.
func (d decodedComponent) folder(v reflect.Value, key string) {
	f, writes := folders[d.id]
	if !writes || key != confmap.KeyDelimiter+f.parent {
		return
	}
	if field, found := fieldOf(v, f.name); found && field.Kind() == reflect.String && field.String() == "" {
		d.checker.noFolder(d.path, f)
	}
}

func fieldOf(v reflect.Value, key string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if name, _ := configwalk.Tag(v.Type().Field(i)); name == key {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// discoveries checks a list of Prometheus' service discoveries, and reports
// whether v is one. The list no longer has the keys the discoveries were under.
func (d decodedComponent) discoveries(v reflect.Value, key string) bool {
	if v.Kind() != reflect.Slice || v.Type().Name() != "Configs" || !strings.HasSuffix(v.Type().PkgPath(), "prometheus/discovery") {
		return false
	}
	for i := range v.Len() {
		if named, is := v.Index(i).Interface().(interface{ Name() string }); is {
			path := strings.TrimSuffix(d.path+key, confmap.KeyDelimiter+"servicediscoveryconfigs")
			d.checker.part(path+confmap.KeyDelimiter+named.Name()+discoverySuffix, partDiscovery, named.Name())
		}
	}
	return true
}
