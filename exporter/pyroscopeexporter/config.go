package pyroscopeexporter

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	"go.opentelemetry.io/collector/component"

	"github.com/invar-otel/invar/internal/push"
)

// Config is what a user writes under exporters::pyroscope.
type Config struct {
	push.Config `mapstructure:",squash"`

	// ExternalLabels are on every series that has no attribute for them.
	ExternalLabels map[string]string `mapstructure:"external_labels"`
	// ResourceLabels are the resource attributes that become labels of series.
	ResourceLabels SelectionConfig `mapstructure:"resource_labels"`
	// SampleLabels are the sample attributes that become labels of samples.
	SampleLabels SelectionConfig `mapstructure:"sample_labels"`
}

// SelectionConfig changes which attributes become labels. A name that ends in * is a
// prefix.
type SelectionConfig struct {
	// Include has attributes that become labels even if they are excluded.
	Include []string `mapstructure:"include"`
	// Exclude has attributes that do not become labels, besides the default ones.
	Exclude []string `mapstructure:"exclude"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	return &Config{
		// Each consumer converts profiles, which takes a core. The size is half of the
		// burst that Pyroscope allows a tenant by default.
		Config: push.NewDefaultConfig(4, 1<<20),
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if c.Endpoint == "" {
		errs = append(errs, errors.New("endpoint: is not set; write it like http://localhost:4040"))
	} else if _, err := baseURL(c.Endpoint); err != nil {
		errs = append(errs, fmt.Errorf("endpoint: %w", err))
	}
	errs = append(errs, c.Errors("Pyroscope", "the profiles in it are always gzip")...)
	// Headers may hold secrets, so the error does not have the value.
	if tenant, _ := push.SplitTenant(c.Headers); !push.ValidTenant(tenant) {
		errs = append(errs, fmt.Errorf("headers::%s: the value is no tenant to Pyroscope; use %s", push.TenantHeader, push.TenantCharacters))
	}
	for _, name := range slices.Sorted(maps.Keys(c.ExternalLabels)) {
		if name == labelName || name != labelNameOf(name) {
			errs = append(errs, fmt.Errorf("external_labels: %q is not a label name; use letters, digits and underscores, like cluster", name))
		}
	}
	errs = append(errs, c.ResourceLabels.validate("resource_labels"), c.SampleLabels.validate("sample_labels"))
	return errors.Join(errs...)
}

func (c *SelectionConfig) validate(key string) error {
	var errs []error
	check := func(key string, list []string) {
		for _, name := range list {
			if name == "" || strings.Contains(strings.TrimSuffix(name, "*"), "*") {
				errs = append(errs, fmt.Errorf("%s: %q is not an attribute's name; write it like process.pid, or process.* for all that begin so", key, name))
			}
		}
	}
	check(key+"::include", c.Include)
	check(key+"::exclude", c.Exclude)
	return errors.Join(errs...)
}

// baseURL returns the URL to which the path of the push method is appended. The
// endpoint may end in that path.
func baseURL(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil: // the error repeats the endpoint, which may hold a password
		return "", errors.New("cannot be read as a URL; write it like http://localhost:4040")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return "", fmt.Errorf("%q is not an http or https URL; write it like http://localhost:4040", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "":
		return "", fmt.Errorf("%q has a query or a fragment, which the push API does not; remove it", u.Redacted())
	}
	u.Path = strings.TrimRight(strings.TrimSuffix(u.Path, pushv1connect.PusherServicePushProcedure), "/")
	u.RawPath = ""
	return u.String(), nil
}

// leftOutOfResources returns the resource attributes that are not labels by default.
// The attribute of the tenant is one of them, as the header of requests has it.
func (c *Config) leftOutOfResources() []string {
	all := slices.Clone(leftOutOfResources)
	if c.Tenant.Attribute != "" {
		all = append(all, c.Tenant.Attribute)
	}
	return all
}
