package lokireceiver

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configgrpc"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/invar-otel/invar/internal/config/bytesize"
)

// Config is what a user writes under receivers::loki.
type Config struct {
	Protocols ProtocolsConfig `mapstructure:"protocols"`
	// KeepTimestamp keeps the timestamps of entries. Otherwise entries get the time
	// at which they arrive.
	KeepTimestamp bool `mapstructure:"use_incoming_timestamp"`
	// MaxRequestMemory bounds the memory of one request's decoded streams and
	// entries, which can be a thousand times the size on the wire.
	MaxRequestMemory bytesize.Size `mapstructure:"max_request_memory"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ProtocolsConfig are the protocols to serve; at least one must be set.
type ProtocolsConfig struct {
	HTTP configoptional.Optional[confighttp.ServerConfig] `mapstructure:"http"`
	GRPC configoptional.Optional[configgrpc.ServerConfig] `mapstructure:"grpc"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	defaultHTTPEndpoint = "localhost:3500"
	defaultGRPCEndpoint = "localhost:3600"
	// defaultBodySize is confighttp's default. It bounds a request both as sent and
	// decompressed.
	defaultBodySize = 20 << 20
	// defaultRequestMemory is enough for a request of defaultBodySize whose lines
	// have 100 bytes and ten labels.
	defaultRequestMemory = 256 << 20
	minRequestMemory     = 1 << 20
)

func createDefaultConfig() component.Config {
	http := confighttp.NewDefaultServerConfig()
	http.NetAddr.Endpoint = defaultHTTPEndpoint
	http.MaxRequestBodySize = defaultBodySize
	http.IncludeMetadata = true // the tenant is in a header
	grpc := configgrpc.NewDefaultServerConfig()
	grpc.NetAddr.Endpoint = defaultGRPCEndpoint
	grpc.IncludeMetadata = true
	return &Config{
		Protocols:        ProtocolsConfig{HTTP: configoptional.Default(http), GRPC: configoptional.Default(grpc)},
		MaxRequestMemory: defaultRequestMemory,
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	if !c.Protocols.HTTP.HasValue() && !c.Protocols.GRPC.HasValue() {
		return errors.New("protocols: has neither http nor grpc; write it like protocols: {http: {endpoint: localhost:3500}}")
	}
	if c.MaxRequestMemory < minRequestMemory {
		return fmt.Errorf("max_request_memory: %s is out of range; use 1MiB or more, like 256MiB", c.MaxRequestMemory)
	}
	return nil
}
