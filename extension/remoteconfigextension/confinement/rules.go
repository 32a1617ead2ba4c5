package confinement

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"go.opentelemetry.io/collector/component"
)

// Rules says what a configuration from a fleet server may use. The zero value
// permits the default components, no environment, no files, and listening on
// loopback only. Rules must not be modified after Validate, and are then safe for
// concurrent use.
type Rules struct {
	// AllowedComponents are components and parts of components: "receiver/otlp",
	// "otlp" (of any kind), "exporter/*", or "default" for DefaultComponents, to
	// add to them. Nil means DefaultComponents. Parts (scraper, detector,
	// discovery, operator, resolver, sasl, auth_type, identity) are added to the
	// default parts.
	AllowedComponents []string `mapstructure:"allowed_components"`
	// AllowedProviders are the providers that ${…} may use: env, file or both.
	AllowedProviders []string `mapstructure:"allowed_providers"`
	// AllowedPaths are absolute paths of files, or of folders with their contents.
	AllowedPaths []string `mapstructure:"allowed_paths"`
	// AllowedListenAddresses are addresses beyond loopback, as host:port. 0.0.0.0
	// and [::] mean all interfaces; * is any host or any port.
	AllowedListenAddresses []string `mapstructure:"allowed_listen_addresses"`
}

// Components are a pipeline's decoded configurations by ID. The checks do not
// modify them.
type Components struct {
	Receivers  map[component.ID]component.Config
	Processors map[component.ID]component.Config
	Exporters  map[component.ID]component.Config
	Connectors map[component.ID]component.Config
	Extensions map[component.ID]component.Config
}

// Validate implements xconfmap.Validator. It joins all errors.
func (r *Rules) Validate() error {
	var errs []error
	if r.AllowedComponents != nil && len(r.AllowedComponents) == 0 {
		errs = append(errs, errors.New("allowed_components: is empty, which permits nothing; leave it out for the default components"))
	}
	for _, pattern := range r.AllowedComponents {
		if err := validatePattern(pattern); err != nil {
			errs = append(errs, fmt.Errorf("allowed_components: %w", err))
		}
	}
	for _, name := range r.AllowedProviders {
		if name != schemeEnv && name != schemeFile {
			errs = append(errs, fmt.Errorf("allowed_providers: %q cannot be allowed; use %s or %s", name, schemeEnv, schemeFile))
		}
	}
	if r.allowsProvider(schemeFile) && len(r.AllowedPaths) == 0 {
		errs = append(errs, errors.New("allowed_providers: \"file\" reads nothing without allowed_paths; name the folders"))
	}
	for _, path := range r.AllowedPaths {
		if !filepath.IsAbs(path) {
			errs = append(errs, fmt.Errorf("allowed_paths: %q is not absolute; write it like /etc/invar/certs", path))
		}
	}
	for _, address := range r.AllowedListenAddresses {
		if err := validateListen(address); err != nil {
			errs = append(errs, fmt.Errorf("allowed_listen_addresses: %w", err))
		}
	}
	return errors.Join(errs...)
}

// CheckRaw checks a pipeline's configuration as the server sent it, before ${…}
// is expanded. The error joins all violations, up to a limit; each names its key.
// The only values in it are paths, addresses, and names of components and
// environment variables. CheckRaw does not modify raw.
func (r *Rules) CheckRaw(raw map[string]any) error {
	c := checker{rules: r, raw: true}
	c.config(raw)
	return c.err()
}

// CheckResolved repeats the checks of CheckRaw after expansion, on resolved and on
// the decoded configurations with the components' defaults, and also checks the
// addresses that components listen on. resolved must come from Readings: any other
// map has only one reading of each expanded ${…}. Errors are like those of
// CheckRaw. CheckResolved does not modify its arguments.
func (r *Rules) CheckResolved(resolved map[string]any, cfg Components) error {
	c := checker{rules: r}
	c.config(resolved)
	c.decoded(resolved, cfg)
	return c.err()
}

func (r *Rules) allowsProvider(scheme string) bool {
	return slices.Contains(r.AllowedProviders, scheme)
}
