package reloadextension

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/invar-otel/invar/internal/sockets"
)

// Config is what a user writes under extensions::reload.
type Config struct {
	// HTTP is the endpoint for requests; on by default.
	HTTP configoptional.Optional[confighttp.ServerConfig] `mapstructure:"http"`
	// AllowUnauthenticated permits an HTTP endpoint that other hosts can reach without
	// authentication.
	AllowUnauthenticated bool `mapstructure:"allow_unauthenticated"`
	// Watch watches the configuration files; off by default.
	Watch configoptional.Optional[WatchConfig] `mapstructure:"watch"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// WatchConfig configures the watching of the configuration files.
type WatchConfig struct {
	// Interval is the time between two looks. A change must be the same for two looks
	// in a row, because a file may be in the middle of a write.
	Interval time.Duration `mapstructure:"interval"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	defaultEndpoint = "127.0.0.1:12346"
	defaultInterval = 5 * time.Second
	minInterval     = 100 * time.Millisecond
)

func createDefaultConfig() component.Config {
	http := confighttp.NewDefaultServerConfig()
	http.NetAddr.Endpoint = defaultEndpoint
	http.WriteTimeout = 0 // an answer waits for the reload, which waits for pipelines to drain
	return &Config{
		HTTP:  configoptional.Some(http),
		Watch: configoptional.Default(WatchConfig{Interval: defaultInterval}),
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if !c.HTTP.HasValue() && !c.Watch.HasValue() {
		errs = append(errs, errors.New("http and watch are both off; turn one on, such as watch: {interval: 5s}"))
	}
	if c.HTTP.HasValue() && !c.AllowUnauthenticated && !c.HTTP.Get().Auth.HasValue() && !c.localOnly() {
		errs = append(errs, fmt.Errorf("http::endpoint: %q is neither loopback nor authenticated; "+
			"use %s, add http::auth, or say allow_unauthenticated: true", c.HTTP.Get().NetAddr.Endpoint, defaultEndpoint))
	}
	return errors.Join(errs...)
}

// localOnly reports whether only processes of this host can reach the endpoint.
func (c *Config) localOnly() bool {
	addr := c.HTTP.Get().NetAddr
	if !strings.HasPrefix(string(addr.Transport), "tcp") {
		return true // a socket file or a named pipe
	}
	host, _, err := net.SplitHostPort(addr.Endpoint)
	if err != nil {
		return true // confignet returns a better error
	}
	return sockets.IsLoopback(host)
}

// Validate implements xconfmap.Validator.
func (c *WatchConfig) Validate() error {
	if c.Interval < minInterval {
		return fmt.Errorf("interval: %q is too short; use %s or more, such as %s", c.Interval, minInterval, defaultInterval)
	}
	return nil
}
