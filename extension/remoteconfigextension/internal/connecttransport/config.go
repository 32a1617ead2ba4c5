package connecttransport

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"go.opentelemetry.io/collector/config/configcompression"
	"go.opentelemetry.io/collector/config/confighttp"
)

// Config is what a user writes under extensions::remote_config::connect.
type Config struct {
	// ClientConfig is the server's URL and how to reach it.
	confighttp.ClientConfig `mapstructure:",squash"`
	// Endpoints are further servers, tried in turn if the ones before do not answer.
	Endpoints []string `mapstructure:"endpoints"`
	// PollInterval is the time between two requests for the configuration, ±10 %.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// UnregisterOnShutdown tells the server at shutdown that the collector will not
	// come back.
	UnregisterOnShutdown bool `mapstructure:"unregister_on_shutdown"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	defaultPollInterval = time.Minute
	minPollInterval     = 10 * time.Second
	defaultTimeout      = 30 * time.Second
)

// NewDefaultConfig returns the defaults.
func NewDefaultConfig() Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = defaultTimeout
	return Config{ClientConfig: client, PollInterval: defaultPollInterval}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if c.Endpoint == "" && len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("endpoint: is not set; write it like https://fleet.example.org"))
	}
	if c.Endpoint != "" {
		errs = append(errs, checkURL("endpoint", c.Endpoint))
	}
	for i, endpoint := range c.Endpoints {
		errs = append(errs, checkURL(fmt.Sprintf("endpoints::%d", i), endpoint))
		if endpoint == c.Endpoint || slices.Contains(c.Endpoints[:i], endpoint) {
			errs = append(errs, fmt.Errorf("endpoints::%d: %q is there twice; name each server once", i, endpoint))
		}
	}
	if c.ProxyURL != "" {
		u, err := url.Parse(c.ProxyURL)
		if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) { // it may have a password in it
			errs = append(errs, errors.New("proxy_url: is not the URL of a proxy; write it like http://proxy.example.org:3128, or socks5://…"))
		}
	}
	if c.PollInterval < minPollInterval {
		errs = append(errs, fmt.Errorf("poll_interval: %s is too short; use 10s or more", c.PollInterval))
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout: %s is out of range; use a duration above 0s, like 30s", c.Timeout))
	}
	if c.Compression != "" && c.Compression != "none" && c.Compression != configcompression.TypeGzip {
		errs = append(errs, fmt.Errorf("compression: %q is not what every server reads; use gzip or none", c.Compression))
	}
	return errors.Join(errs...)
}

func checkURL(key, endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil: // it may have a password in it
		return fmt.Errorf("%s: is not a URL; write it like https://fleet.example.org", key)
	case u.User != nil:
		return fmt.Errorf("%s: %q has a user in it; use auth with an extension like basicauth", key, u.Redacted())
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return fmt.Errorf("%s: %q is not an http or https URL; write it like https://fleet.example.org", key, endpoint)
	case u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("%s: %q has a query or a fragment; write the URL up to the path, like https://fleet.example.org/fleet", key, endpoint)
	}
	return nil
}

// servers returns the URLs in the order in which they are tried.
func (c *Config) servers() []string {
	if c.Endpoint == "" {
		return c.Endpoints
	}
	return append([]string{c.Endpoint}, c.Endpoints...)
}
