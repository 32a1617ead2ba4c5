package pyroscopeexporter

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/push/orgid"
)

// Config is what a user writes under exporters::pyroscope.
type Config struct {
	// ClientConfig is the endpoint and how to reach it.
	confighttp.ClientConfig `mapstructure:",squash"`
	// Queue is where profiles wait, in memory or in a storage extension.
	Queue configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	// Retry is the pause between attempts.
	Retry configretry.BackOffConfig `mapstructure:"retry_on_failure"`

	Tenant TenantConfig `mapstructure:"tenant"`
	// ExternalLabels are on every series, unless an attribute says otherwise.
	ExternalLabels map[string]string `mapstructure:"external_labels"`
	// ResourceLabels are the resource attributes that become labels of series.
	ResourceLabels SelectionConfig `mapstructure:"resource_labels"`
	// SampleLabels are the sample attributes that become labels of samples.
	SampleLabels SelectionConfig `mapstructure:"sample_labels"`
	// MaxRequestSize is the most bytes of pprof messages in a request before
	// compression, if a single profile isn't larger.
	MaxRequestSize bytesize.Size `mapstructure:"max_request_size"`
}

// SelectionConfig changes which attributes become labels. A name that ends in *
// stands for all that begin so.
type SelectionConfig struct {
	// Include are attributes that become labels, whatever excludes them.
	Include []string `mapstructure:"include"`
	// Exclude are attributes that don't, beside those left out by default.
	Exclude []string `mapstructure:"exclude"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// TenantConfig is whose profiles they are: the attribute's value, else the
// header's, else Value.
type TenantConfig struct {
	Value string `mapstructure:"value"`
	// Attribute is one of the resource.
	Attribute string `mapstructure:"attribute"`
	// Header is one of the request that brought the profiles; the receiver needs
	// include_metadata.
	Header string `mapstructure:"header"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second
	client.ForceAttemptHTTP2 = true
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = 500 * time.Millisecond
	retry.MaxElapsedTime = 0 // profiles leave the queue when Pyroscope has taken or refused them
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.NumConsumers = 4 // each converts profiles, which takes a core
	queue.Batch = configoptional.Some(exporterhelper.BatchConfig{
		FlushTimeout: time.Second,
		Sizer:        exporterhelper.RequestSizerTypeBytes,
		MinSize:      1 << 20,
	})
	return &Config{
		ClientConfig: client, Queue: configoptional.Some(queue), Retry: retry,
		// Half of the burst that Pyroscope allows a tenant by default.
		MaxRequestSize: 1 << 20,
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	fail := func(key string, value any, want string) {
		errs = append(errs, fmt.Errorf("%s: %v %s", key, value, want))
	}
	if c.Endpoint == "" {
		errs = append(errs, errors.New("endpoint: is not set; write it like http://localhost:4040"))
	} else if _, err := baseURL(c.Endpoint); err != nil {
		errs = append(errs, fmt.Errorf("endpoint: %w", err))
	}
	if c.Compression != "" && c.Compression != "none" && c.Compression != "gzip" {
		fail("compression", fmt.Sprintf("%q", c.Compression), "is not what Pyroscope reads; use gzip, or none (the profiles in it are always gzip)")
	}
	if c.MaxRequestSize < 16<<10 || c.MaxRequestSize > 64<<20 {
		fail("max_request_size", c.MaxRequestSize, "is out of range; use 16KiB to 64MiB")
	}
	const wrongTenant = "is no tenant to Pyroscope; use at most 150 letters, digits and !-_.*'()"
	if !orgid.Valid(c.Tenant.Value) {
		fail("tenant::value", fmt.Sprintf("%q", c.Tenant.Value), wrongTenant)
	}
	if tenant, _ := orgid.Split(c.Headers); tenant != "" {
		if c.Tenant.Value != "" {
			errs = append(errs, fmt.Errorf("tenant::value: %q is named by headers::%s too; keep one of them", c.Tenant.Value, orgid.Header))
		}
		if !orgid.Valid(tenant) { // headers may hold secrets, so that the value is not told
			errs = append(errs, fmt.Errorf("headers::%s: the value %s", orgid.Header, wrongTenant))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.ExternalLabels)) {
		if name == labelName || name != labelNameOf(name) {
			fail("external_labels", fmt.Sprintf("%q", name), "is not a label name; use letters, digits and underscores, like cluster")
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

// baseURL is what the path of the push method is appended to. The endpoint may
// end in that path.
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

// leftOutOfResources are the attributes that are not labels of themselves. That
// of the tenant is among them: it is in the header of requests.
func (c *Config) leftOutOfResources() []string {
	all := slices.Clone(leftOutOfResources)
	if c.Tenant.Attribute != "" {
		all = append(all, c.Tenant.Attribute)
	}
	return all
}
