package opamptransport

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/config/confighttp"
)

// Config is what a user writes under extensions::remote_config::opamp.
type Config struct {
	// ClientConfig is the server's endpoint and how to reach it. The scheme of the
	// endpoint selects the transport: ws and wss WebSocket, http and https polling.
	confighttp.ClientConfig `mapstructure:",squash"`
	// Endpoints are further servers, tried in turn if the ones before do not answer.
	Endpoints []string `mapstructure:"endpoints"`
	// HeartbeatInterval is the time between messages on an idle WebSocket; 0 sends
	// none.
	HeartbeatInterval time.Duration `mapstructure:"heartbeat_interval"`
	// PollInterval is the time between two requests over HTTP, ±10 %.
	PollInterval time.Duration `mapstructure:"poll_interval"`
	// AcceptRestartCommand lets the server restart the collector, including its local
	// pipelines.
	AcceptRestartCommand bool `mapstructure:"accept_restart_command"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	// defaultPath is the path in the specification, for both transports.
	defaultPath = "/v1/opamp"
	// defaultInterval is the interval in the specification, for heartbeats and polls.
	defaultInterval = 30 * time.Second
	minPoll         = 10 * time.Second
	minHeartbeat    = time.Second
	// maxInterval bounds the interval that a server may ask for.
	maxInterval    = time.Hour
	defaultTimeout = 30 * time.Second
)

// NewDefaultConfig returns the defaults.
func NewDefaultConfig() Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = defaultTimeout
	return Config{ClientConfig: client, HeartbeatInterval: defaultInterval, PollInterval: defaultInterval}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	var webSocket string // the first WebSocket endpoint
	seen := map[string]bool{}
	check := func(key, endpoint string) {
		u, err := serverURL(endpoint)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		case seen[u.String()]:
			errs = append(errs, fmt.Errorf("%s: %q is there twice; name each server once", key, endpoint))
		default:
			seen[u.String()] = true
			if webSocket == "" && isWebSocket(u) {
				webSocket = endpoint
			}
		}
	}
	if c.Endpoint == "" && len(c.Endpoints) == 0 {
		errs = append(errs, errors.New("endpoint: is not set; write it like wss://fleet.example.org/v1/opamp"))
	}
	if c.Endpoint != "" {
		check("endpoint", c.Endpoint)
	}
	for i, endpoint := range c.Endpoints {
		check(fmt.Sprintf("endpoints::%d", i), endpoint)
	}
	if c.ProxyURL != "" {
		if u, err := url.Parse(c.ProxyURL); err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5"}, u.Scheme) {
			errs = append(errs, errors.New("proxy_url: is not the URL of a proxy; write it like http://proxy.example.org:3128, or socks5://…"))
		}
	}
	if c.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("timeout: %v would wait forever for a server that does not answer; use like 30s", c.Timeout))
	}
	if c.HeartbeatInterval != 0 && c.HeartbeatInterval < minHeartbeat {
		errs = append(errs, fmt.Errorf("heartbeat_interval: %v is too short; use 0 for none, or %v or longer", c.HeartbeatInterval, minHeartbeat))
	}
	if c.PollInterval < minPoll {
		errs = append(errs, fmt.Errorf("poll_interval: %v is too short; use %v or longer", c.PollInterval, minPoll))
	}
	if c.Compression != "" && c.Compression != "none" && c.Compression != "gzip" {
		errs = append(errs, fmt.Errorf("compression: %q is not OpAMP's; use gzip or none", c.Compression))
	}
	if webSocket != "" {
		for key, set := range map[string]bool{
			"compression": c.Compression == "gzip", "cookies": c.Cookies.HasValue(), "middlewares": len(c.Middlewares) > 0,
		} {
			if set {
				errs = append(errs, fmt.Errorf("%s: works over HTTP only, and %q is a WebSocket; remove it, or use http or https", key, webSocket))
			}
		}
	}
	slices.SortStableFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// servers returns the endpoints in the order in which they are tried.
func (c *Config) servers() ([]*url.URL, error) {
	var urls []*url.URL
	for _, endpoint := range append([]string{c.Endpoint}, c.Endpoints...) {
		if endpoint == "" {
			continue
		}
		u, err := serverURL(endpoint)
		if err != nil {
			return nil, err
		}
		urls = append(urls, u)
	}
	if len(urls) == 0 {
		return nil, errors.New("no endpoint")
	}
	return urls, nil
}

func serverURL(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme == "" {
		return nil, fmt.Errorf("%q is not a URL with a scheme; write it like wss://fleet.example.org/v1/opamp", endpoint)
	}
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
		return nil, fmt.Errorf("%q has a scheme that is not OpAMP's; use ws, wss, http or https", endpoint)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%q has a user in it; use auth with an extension like basicauth", u.Redacted())
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = defaultPath
	}
	return u, nil
}

func isWebSocket(u *url.URL) bool { return u.Scheme == "ws" || u.Scheme == "wss" }
