package yamltext

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v3"
)

// Keep returns the factory of a provider whose documents keep the texts for
// Prometheus. names says that ${X} means ${env:X} in the configuration; then ${1}
// is an error that names its place.
func Keep(factory confmap.ProviderFactory, names bool) confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(set confmap.ProviderSettings) confmap.Provider {
		return provider{factory.Create(set), names}
	})
}

// KeepAll applies Keep to all factories.
func KeepAll(factories []confmap.ProviderFactory, names bool) []confmap.ProviderFactory {
	out := make([]confmap.ProviderFactory, len(factories))
	for i, f := range factories {
		out[i] = Keep(f, names)
	}
	return out
}

type provider struct {
	confmap.Provider
	names bool
}

// Retrieve implements confmap.Provider.
func (p provider) Retrieve(ctx context.Context, uri string, watch confmap.WatcherFunc) (*confmap.Retrieved, error) {
	if name, ok := strings.CutPrefix(uri, "env:"); ok && isGroupNumber(name) {
		return nil, fmt.Errorf("a collector configuration takes ${%s} for an environment variable, which cannot have that name; "+
			"for a group of a regular expression write $${%[1]s}", name)
	}
	r, err := p.Provider.Retrieve(ctx, uri, watch)
	if err != nil {
		return r, err
	}
	if err := keep(r, uri, p.names); err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	return r, nil
}

// keep puts the texts into a retrieved document, in place: nobody else holds the
// document yet.
func keep(r *confmap.Retrieved, uri string, names bool) error {
	raw, err := r.AsRaw()
	if err != nil {
		return nil //nolint:nilerr // confmap reports it
	}
	switch raw.(type) {
	case map[string]any, []any:
	default:
		return nil // a scalar, whose text confmap keeps
	}
	text, err := r.AsString()
	if err != nil {
		return nil //nolint:nilerr // it was not made from YAML
	}
	var doc yaml.Node
	if yaml.Unmarshal([]byte(text), &doc) != nil || len(doc.Content) != 1 {
		return nil //nolint:nilerr // confmap has parsed it
	}
	w := walker{root: isRoot(raw), names: names}
	if path, ok := strings.CutPrefix(uri, "file:"); ok {
		w.file = path
	}
	w.value(raw, doc.Content[0])
	if more := w.refused - maxRefused; more > 0 {
		w.errs = append(w.errs, fmt.Errorf("and %d more of these", more))
	}
	return errors.Join(w.errs...)
}
