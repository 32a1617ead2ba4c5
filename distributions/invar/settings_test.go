package main

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/stanza/operator"
	"github.com/prometheus/prometheus/discovery"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/config/configwalk"
)

// setting is a key of a component of the binary, with a way to set only that key.
type setting struct {
	kind, name string // of the component, current
	path       []string
	typ        reflect.Type // of the key's value, without pointers
	set        func(value any) map[string]any
}

func (s setting) id() string     { return s.kind + "/" + s.name }
func (s setting) String() string { return s.id() + "::" + strings.Join(s.path, "::") }
func (s setting) key() string    { return s.path[len(s.path)-1] }

// isText reports whether the value can be a text.
func (s setting) isText() bool {
	return s.typ.Kind() == reflect.String || s.typ.Kind() == reflect.Interface || isTextType(s.typ)
}

func isTextType(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) || t == reflect.TypeFor[time.Duration]() ||
		t.PkgPath() == "net/url"
}

// settings returns all keys of all components in order, one for each component and
// last two names of the path.
func settings(t *testing.T) []setting {
	t.Helper()
	var all []setting
	seen := map[string]bool{}
	add := func(s setting) {
		short := s.id() + " " + strings.Join(s.path[max(0, len(s.path)-2):], "::")
		if !seen[short] {
			seen[short] = true
			all = append(all, s)
		}
	}
	for _, p := range parts(t) {
		if p.config == nil || p.name != p.current {
			continue
		}
		root := setting{kind: p.kind, name: p.name, set: func(v any) map[string]any { m, _ := v.(map[string]any); return m }}
		collect(root, reflect.TypeOf(p.config), nil, add)
		switch p.id() {
		case "receiver/prometheus", "receiver/prometheus_scrape":
			job := root
			job.path = []string{"config", "scrape_configs"}
			job.set = func(v any) map[string]any {
				m := with(v, "job_name", "a")
				return map[string]any{"config": map[string]any{"scrape_configs": []any{m}}}
			}
			// The dynamic type into which Prometheus decodes service discoveries.
			if err := discovery.UnmarshalYAMLWithInlineConfigs(&scrapeJob{}, func(into any) error {
				collect(job, reflect.TypeOf(into), nil, add)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		case "receiver/syslog", "receiver/udp_log":
			for _, name := range operators() {
				create, _ := operator.Lookup(name)
				one := root
				one.path = []string{"operators"}
				one.set = func(v any) map[string]any {
					return map[string]any{"operators": []any{with(v, "type", name)}}
				}
				collect(one, reflect.TypeOf(create()), nil, add)
			}
		case "receiver/host_metrics":
			for _, scraper := range []string{"cpu", "disk", "filesystem", "load", "memory", "network", "nfs", "paging", "process", "processes", "system"} {
				one := root
				one.path = []string{"scrapers", scraper}
				one.typ = reflect.TypeFor[struct{}]()
				one.set = func(v any) map[string]any {
					return map[string]any{"scrapers": map[string]any{scraper: v}}
				}
				add(one)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b setting) int { return strings.Compare(a.String(), b.String()) })
	if len(all) < 2000 {
		t.Fatalf("only %d keys found", len(all))
	}
	return all
}

// with returns a copy of a map with an additional key.
func with(m any, key string, value any) map[string]any {
	more := map[string]any{key: value}
	if m, is := m.(map[string]any); is {
		maps.Copy(more, m)
	}
	return more
}

// scrapeJob is a type to which Prometheus adds the keys of all service discoveries.
type scrapeJob struct {
	Configs discovery.Configs `yaml:"-"`
}

func operators() []string {
	var names []string
	for _, name := range reflect.ValueOf(operator.DefaultRegistry).Elem().Field(0).MapKeys() {
		names = append(names, name.String())
	}
	slices.Sort(names)
	return names
}

// collect calls add for the keys below s, whose value has type t.
func collect(s setting, t reflect.Type, within []reflect.Type, add func(setting)) {
	s.typ = t
	if slices.Contains(within, t) || len(within) > 40 {
		return
	}
	within = append(within[:len(within):len(within)], t)
	below := func(set func(any) any) setting {
		outer := s.set
		s.set = func(v any) map[string]any { return outer(set(v)) }
		return s
	}
	switch {
	case t.Kind() == reflect.Pointer:
		collect(s, t.Elem(), within, add)
	case isTextType(t), t.Kind() == reflect.String, t.Kind() == reflect.Interface:
		if len(s.path) > 0 {
			add(s)
		}
	case t.Kind() == reflect.Slice, t.Kind() == reflect.Array:
		// A list with one item. A list of texts can also be a single text.
		collect(below(func(v any) any { return []any{v} }), t.Elem(), within, add)
	case t.Kind() == reflect.Map:
		if len(s.path) > 0 {
			add(s)
		}
		s.path = slices.Concat(s.path, []string{"*"})
		collect(below(func(v any) any { return map[string]any{"x": v} }), t.Elem(), within, add)
	case t.Kind() == reflect.Struct && strings.HasPrefix(t.Name(), "Optional["):
		inner, _ := t.FieldByName("value")
		collect(s, inner.Type, within, add)
	case t.Kind() == reflect.Struct:
		if len(s.path) > 0 {
			add(s)
		}
		for i := range t.NumField() {
			field := t.Field(i)
			tag, tagged := field.Tag.Lookup("mapstructure")
			if !tagged {
				tag, tagged = field.Tag.Lookup("yaml")
			}
			if strings.HasPrefix(tag, "-") || !tagged && !field.IsExported() {
				continue
			}
			name, inline := configwalk.Tag(field)
			if inline {
				collect(s, field.Type, within, add)
				continue
			}
			one := s
			outer := s.set
			one.set = func(v any) map[string]any { return outer(map[string]any{name: v}) }
			one.path = slices.Concat(s.path, []string{name})
			collect(one, field.Type, within, add)
		}
	case len(s.path) > 0: // a number or a switch
		add(s)
	}
}

// decodes decodes a component's configuration as the collector does.
func decodes(f component.Factory, conf *confmap.Conf) (config component.Config, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	config = f.CreateDefaultConfig()
	return config, conf.Unmarshal(&config)
}

func factoryOf(f otelcol.Factories, kind string, name component.Type) component.Factory {
	switch kind {
	case "receiver":
		return f.Receivers[name]
	case "processor":
		return f.Processors[name]
	case "exporter":
		return f.Exporters[name]
	case "connector":
		return f.Connectors[name]
	}
	return f.Extensions[name]
}
