package yamltext

import (
	"context"
	"reflect"
	"sync"

	"go.opentelemetry.io/collector/confmap"
)

// expandedType is confmap's type for a value of which the text is known too,
// which decodes into fields of strings as the text and into others as the value.
// confmap makes it for ${…} and has no way to make one, so it is taken from a
// configuration that has one. nil if confmap has changed: then no text is kept in
// parts of a configuration, which a test notices.
var expandedType = sync.OnceValue(func() reflect.Type {
	r, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs: []string{probe{}.Scheme() + ":"},
		ProviderFactories: []confmap.ProviderFactory{
			confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider { return probe{} }),
		},
	})
	if err != nil {
		return nil
	}
	conf, err := r.Resolve(context.Background())
	if err != nil {
		return nil
	}
	var m map[string]any
	if conf.Unmarshal(&m) != nil {
		return nil
	}
	outer, _ := m["outer"].(map[string]any)
	t := reflect.TypeOf(outer["inner"])
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	value, hasValue := t.FieldByName("Value")
	original, hasOriginal := t.FieldByName("Original")
	if !hasValue || value.Type.Kind() != reflect.Interface || !hasOriginal || original.Type.Kind() != reflect.String {
		return nil
	}
	return t
})

// probe is the provider of that configuration.
type probe struct{}

func (probe) Scheme() string { return "yamltext" }

func (p probe) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	if uri == p.Scheme()+":" {
		return confmap.NewRetrieved(map[string]any{"outer": map[string]any{"inner": "${" + p.Scheme() + ":1}"}})
	}
	return confmap.NewRetrievedFromYAML([]byte("1"))
}

func (probe) Shutdown(context.Context) error { return nil }

// expanded returns value with its text, or value if that cannot be.
func expanded(value any, text string) any {
	t := expandedType()
	if t == nil {
		return value
	}
	x := reflect.New(t).Elem()
	if value != nil {
		x.FieldByName("Value").Set(reflect.ValueOf(value))
	}
	x.FieldByName("Original").SetString(text)
	return x.Interface()
}

// split takes apart what expanded has made, and confmap for ${…}.
func split(v any) (value any, text string, ok bool) {
	if t := expandedType(); t == nil || reflect.TypeOf(v) != t {
		return v, "", false
	}
	x := reflect.ValueOf(v)
	return x.FieldByName("Value").Interface(), x.FieldByName("Original").String(), true
}
