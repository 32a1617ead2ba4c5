package pyroscopereceiver

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/invar-otel/invar/internal/config/bytesize"
)

// Config is what a user writes under receivers::pyroscope.
type Config struct {
	Protocols ProtocolsConfig `mapstructure:"protocols"`
	// MaxProfileSize bounds one profile, as decompressed pprof or JFR.
	MaxProfileSize bytesize.Size `mapstructure:"max_profile_size"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ProtocolsConfig are the protocols to serve. As in Pyroscope, one port serves
// /ingest and Push by Connect, gRPC and gRPC-Web.
type ProtocolsConfig struct {
	HTTP configoptional.Optional[confighttp.ServerConfig] `mapstructure:"http"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	// defaultHTTPEndpoint has Pyroscope's port.
	defaultHTTPEndpoint = "localhost:4040"
	// defaultBodySize is confighttp's default. It bounds a request both as sent and
	// decompressed.
	defaultBodySize = 20 << 20
	// defaultProfileSize is four times Pyroscope's default limit
	// (validation.max-profile-size-bytes).
	defaultProfileSize = 16 << 20
	// maxProfileSize is the largest value that can be configured. A request may take
	// 16 times as much memory.
	maxProfileSize = 1 << 30
)

func createDefaultConfig() component.Config {
	http := confighttp.NewDefaultServerConfig()
	http.NetAddr.Endpoint = defaultHTTPEndpoint
	http.MaxRequestBodySize = defaultBodySize
	http.IncludeMetadata = true // the tenant is in a header
	return &Config{
		Protocols:      ProtocolsConfig{HTTP: configoptional.Default(http)},
		MaxProfileSize: defaultProfileSize,
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs error
	if !c.Protocols.HTTP.HasValue() {
		errs = errors.New("protocols: has no http; write it like protocols: {http: {endpoint: localhost:4040}}")
	}
	if c.MaxProfileSize <= 0 {
		errs = errors.Join(errs, fmt.Errorf("max_profile_size: %q is not above 0; write it like 16MiB", c.MaxProfileSize))
	}
	if c.MaxProfileSize > maxProfileSize {
		errs = errors.Join(errs, fmt.Errorf("max_profile_size: %q is more than %s; write it like 16MiB", c.MaxProfileSize, bytesize.Size(maxProfileSize)))
	}
	return errs
}
