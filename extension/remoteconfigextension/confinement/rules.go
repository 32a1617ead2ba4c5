package confinement

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"go.opentelemetry.io/collector/component"
)

// Rules is what a configuration from a fleet server may use. The zero Rules
// permit the default components, no environment, no files, and listening on
// loopback only. Rules are read only once validated, and may be used concurrently.
type Rules struct {
	// AllowedComponents are components and parts of components: "receiver/otlp",
	// "otlp" (of any kind), "exporter/*", or "default" for DefaultComponents, to
	// add to them. Nil means DefaultComponents. Parts (scraper, detector,
	// discovery, operator, resolver, sasl, auth_type, identity) are added to the
	// default parts.
	AllowedComponents []string `mapstructure:"allowed_components"`
	// AllowedProviders are those of env and file that ${…} may name.
	AllowedProviders []string `mapstructure:"allowed_providers"`
	// AllowedPaths are absolute folders, with all in them, or files.
	AllowedPaths []string `mapstructure:"allowed_paths"`
	// AllowedListenAddresses are addresses beyond loopback, as host:port. 0.0.0.0
	// and [::] are all interfaces; * is any host or any port.
	AllowedListenAddresses []string `mapstructure:"allowed_listen_addresses"`
}

// Components are a pipeline's decoded configurations by ID. They are only read.
type Components struct {
	Receivers  map[component.ID]component.Config
	Processors map[component.ID]component.Config
	Exporters  map[component.ID]component.Config
	Connectors map[component.ID]component.Config
	Extensions map[component.ID]component.Config
}

// Validate implements the collector's validation. All errors are joined.
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

// CheckRaw looks at a pipeline's configuration as the server sent it, before
// ${…} is expanded. All findings are joined, up to a limit; each names its key.
// Of values, errors show only paths, addresses and names of components and
// environment variables. raw is only read.
func (r *Rules) CheckRaw(raw map[string]any) error {
	c := checker{rules: r, raw: true}
	c.config(raw)
	return c.err()
}

// CheckResolved looks again at the configuration after expansion, and at what it
// was decoded to, with the defaults of the components: what they listen on, and
// all that CheckRaw looks at. resolved is what Readings returns; of another map,
// only one reading of each expanded ${…} is checked as it is written. Errors are
// as those of CheckRaw. Nothing is changed.
func (r *Rules) CheckResolved(resolved map[string]any, cfg Components) error {
	c := checker{rules: r}
	c.config(resolved)
	c.decoded(resolved, cfg)
	return c.err()
}

func (r *Rules) allowsProvider(scheme string) bool {
	return slices.Contains(r.AllowedProviders, scheme)
}
