package push

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/invar-otel/invar/internal/config/bytesize"
)

// Config has the keys that the exporters have in common.
type Config struct {
	// ClientConfig is the endpoint and how to reach it.
	confighttp.ClientConfig `mapstructure:",squash"`
	// Queue is the queue of exporterhelper, in memory or in a storage extension.
	Queue configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	// Retry configures the pauses between attempts.
	Retry configretry.BackOffConfig `mapstructure:"retry_on_failure"`

	Tenant TenantConfig `mapstructure:"tenant"`
	// MaxRequestSize is the limit of a request before compression, in bytes. A single
	// item may be larger.
	MaxRequestSize bytesize.Size `mapstructure:"max_request_size"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// TenantConfig selects the tenant of data: the value of Attribute, else of Header,
// else Value.
type TenantConfig struct {
	Value string `mapstructure:"value"`
	// Attribute is an attribute of the data.
	Attribute string `mapstructure:"attribute"`
	// Header is a header of the request that brought the data. The receiver needs
	// include_metadata.
	Header string `mapstructure:"header"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// NewDefaultConfig returns the default configuration of an exporter, without
// endpoint.
func NewDefaultConfig(consumers int, maxRequestSize bytesize.Size) Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second
	client.ForceAttemptHTTP2 = true
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = 500 * time.Millisecond
	retry.MaxElapsedTime = 0 // data leaves the queue when the store has accepted or refused it
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.NumConsumers = consumers
	queue.Batch = configoptional.Some(exporterhelper.BatchConfig{
		FlushTimeout: time.Second,
		Sizer:        exporterhelper.RequestSizerTypeBytes,
		MinSize:      1 << 20,
	})
	return Config{ClientConfig: client, Queue: configoptional.Some(queue), Retry: retry, MaxRequestSize: maxRequestSize}
}

// Errors validates compression, max_request_size and tenant. store is the store's
// name, and contentCompression says how the content is compressed in any case.
func (c *Config) Errors(store, contentCompression string) []error {
	var errs []error
	if c.Compression != "" && c.Compression != "none" && c.Compression != "gzip" {
		errs = append(errs, fmt.Errorf("compression: %q is not what %s reads; use gzip, or none (%s)", c.Compression, store, contentCompression))
	}
	if c.MaxRequestSize < 16<<10 || c.MaxRequestSize > 64<<20 {
		errs = append(errs, fmt.Errorf("max_request_size: %v is out of range; use 16KiB to 64MiB", c.MaxRequestSize))
	}
	if !ValidTenant(c.Tenant.Value) {
		errs = append(errs, fmt.Errorf("tenant::value: %q is no tenant to %s; use %s", c.Tenant.Value, store, TenantCharacters))
	}
	if tenant, _ := SplitTenant(c.Headers); tenant != "" && c.Tenant.Value != "" {
		errs = append(errs, fmt.Errorf("tenant::value: %q is named by headers::%s too; keep one of them", c.Tenant.Value, TenantHeader))
	}
	return errs
}

// DefaultTenant returns the tenant of data that does not name one: that of headers,
// else tenant::value, else "".
func (c *Config) DefaultTenant() string {
	if tenant, _ := SplitTenant(c.Headers); tenant != "" {
		return tenant
	}
	return c.Tenant.Value
}

// HelperSettings returns the settings for exporterhelper. They correct what it logs
// about a queue in a storage extension.
func (c *Config) HelperSettings(set exporter.Settings) exporter.Settings {
	if c.Queue.HasValue() && c.Queue.Get().StorageID != nil {
		set.Logger = persistentQueueLogger(set.Logger)
	}
	return set
}

// HelperOptions returns options for exporterhelper, without the queue's.
func (c *Config) HelperOptions() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithRetry(c.Retry),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}), // the client has a timeout for each request
	}
}
