// Package builtinprovider is a confmap provider for configurations that are
// part of the binary:
//
//	invar --config builtin:default
//
// A built-in configuration is ordinary collector YAML. It can be validated,
// printed and merged with other --config values like any file.
package builtinprovider

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

const scheme = "builtin"

//go:embed configs/*.yaml
var configs embed.FS

// NewFactory returns the factory of the provider. The provider holds no state,
// never calls its watcher, and is safe for concurrent use.
func NewFactory() confmap.ProviderFactory {
	return confmap.NewProviderFactory(func(confmap.ProviderSettings) confmap.Provider {
		return provider{}
	})
}

type provider struct{}

// Retrieve returns the configuration named by uri, "builtin:<name>".
func (provider) Retrieve(_ context.Context, uri string, _ confmap.WatcherFunc) (*confmap.Retrieved, error) {
	name, ok := strings.CutPrefix(uri, scheme+":")
	if !ok {
		return nil, fmt.Errorf("%q uri is not supported by %q provider", uri, scheme)
	}
	names, err := list()
	if err != nil {
		return nil, err
	}
	for _, known := range names {
		if name == known {
			content, err := configs.ReadFile("configs/" + name + ".yaml")
			if err != nil {
				return nil, fmt.Errorf("read built-in configuration %s: %w", name, err)
			}
			return confmap.NewRetrievedFromYAML(content)
		}
	}
	return nil, fmt.Errorf("there is no built-in configuration %q; use one of: %s:%s",
		name, scheme, strings.Join(names, ", "+scheme+":"))
}

func list() ([]string, error) {
	entries, err := fs.ReadDir(configs, "configs")
	if err != nil {
		return nil, fmt.Errorf("list built-in configurations: %w", err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(e.Name(), ".yaml")
	}
	return names, nil
}

func (provider) Scheme() string { return scheme }

func (provider) Shutdown(context.Context) error { return nil }
