package confinement

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/confmap/provider/yamlprovider"
)

// Schemes of ${scheme:…}. The collector takes ${X} for ${env:X}.
const (
	schemeEnv  = "env"
	schemeFile = "file"
	schemeYAML = "yaml"
)

// scheme matches a URI with a scheme as confmap does.
var scheme = regexp.MustCompile(`(?s)^([A-Za-z][A-Za-z0-9+.-]+):(.*)$`)

// ProviderFactories returns the providers that ${…} may use: yaml always, as it
// reads nothing, env and file if they are permitted. The file provider reads only
// within AllowedPaths. These providers are the actual barrier: CheckRaw does not
// see a text that expands to another ${…}.
func (r *Rules) ProviderFactories() []confmap.ProviderFactory {
	factories := []confmap.ProviderFactory{yamlprovider.NewFactory()}
	if r.allowsProvider(schemeEnv) {
		factories = append(factories, envprovider.NewFactory())
	}
	if r.allowsProvider(schemeFile) {
		factories = append(factories, confmap.NewProviderFactory(func(set confmap.ProviderSettings) confmap.Provider {
			return confined{Provider: fileprovider.NewFactory().Create(set), rules: r}
		}))
	}
	return factories
}

// confined is the file provider, limited to AllowedPaths.
type confined struct {
	confmap.Provider
	rules *Rules
}

// Retrieve implements confmap.Provider.
func (p confined) Retrieve(ctx context.Context, uri string, watch confmap.WatcherFunc) (*confmap.Retrieved, error) {
	path, is := strings.CutPrefix(uri, schemeFile+":")
	if !is {
		return nil, fmt.Errorf("%q is not of the scheme %s", uri, schemeFile)
	}
	if err := p.rules.checkPath(path); err != nil {
		return nil, err
	}
	return p.Provider.Retrieve(ctx, uri, watch)
}

// expansions checks every unescaped ${…} of a text before expansion.
func (c *checker) expansions(path, text string) {
	if !c.raw {
		return
	}
	for i := strings.Index(text, "${"); i >= 0; {
		before := len(text[:i]) - len(strings.TrimRight(text[:i], "$"))
		if before%2 == 0 {
			if err := c.rules.checkURI(text[i+2:]); err != nil {
				c.find(path, "%w", err)
			}
		}
		next := strings.Index(text[i+2:], "${")
		if next < 0 {
			return
		}
		i += 2 + next
	}
}

// checkURI returns an error if the URI at the start of rest, which follows a ${,
// may not be expanded.
func (r *Rules) checkURI(rest string) error {
	uri, _, closed := strings.Cut(rest, "}")
	if !closed {
		return nil // nothing expands it
	}
	name, value := schemeEnv, uri
	if parts := scheme.FindStringSubmatch(uri); parts != nil {
		name, value = parts[1], parts[2]
	}
	nested := strings.Contains(value, "${")
	switch {
	case name == schemeYAML:
		return nil
	case name != schemeEnv && name != schemeFile:
		return fmt.Errorf("${%s:…} is not allowed to remote configurations; write the value itself", name)
	case !r.allowsProvider(name) && name == schemeEnv:
		variable, _, _ := strings.Cut(value, ":-")
		if nested {
			variable = "…"
		}
		return fmt.Errorf("${env:%s} reads the environment, and env is not among allowed_providers", variable)
	case !r.allowsProvider(name):
		return errors.New("${file:…} reads a file, and file is not among allowed_providers")
	case name == schemeFile && !nested:
		return r.checkPath(value)
	}
	return nil
}
