package pprofscrapereceiver

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/config/yamltext"
	"github.com/invar-otel/invar/internal/promdiscovery"
)

// Config is what a user writes under receivers::pprof_scrape.
type Config struct {
	// ScrapeConfigs are the jobs. Without any, Start logs a warning.
	ScrapeConfigs []ScrapeConfig `mapstructure:"scrape_configs"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ScrapeConfig is a job: where its targets are, how to reach them and which
// profiles to scrape. In addition to the keys of its fields, it has those of a
// promdiscovery.Job and of Prometheus' HTTP client.
type ScrapeConfig struct {
	// JobName is the default of the label job. It must be unique.
	JobName string `mapstructure:"job_name"`
	// ScrapeInterval is the time between two scrapes of a profile of a target.
	ScrapeInterval time.Duration `mapstructure:"scrape_interval"`
	// ScrapeTimeout is how long a target may take to answer, in addition to the
	// seconds for which it is asked to profile. 0 means the interval.
	ScrapeTimeout time.Duration `mapstructure:"scrape_timeout"`
	// DeltaProfilingDuration is how long targets record profiles with delta. 0 means
	// a second less than the interval.
	DeltaProfilingDuration time.Duration `mapstructure:"delta_profiling_duration"`
	// Scheme is http or https.
	Scheme string `mapstructure:"scheme"`
	// Params are parameters of every request.
	Params url.Values `mapstructure:"params"`
	// BodySizeLimit is the largest answer, both as sent and decompressed.
	BodySizeLimit bytesize.Size `mapstructure:"body_size_limit"`
	// KubernetesAnnotations says how to treat the annotations profiles.grafana.com/*
	// of pods: "use", "require" or "ignore".
	KubernetesAnnotations string `mapstructure:"kubernetes_annotations"`
	// ProfilingConfig selects the profiles to scrape.
	ProfilingConfig ProfilingConfig `mapstructure:"profiling_config"`

	// Unexported, to keep the collector from decoding and validating them by its
	// own rules.
	targets promdiscovery.Job
	client  commonconfig.HTTPClientConfig

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	defaultScrapeInterval = 15 * time.Second
	defaultBodySizeLimit  = 64 << 20

	annotationsUse     = "use"
	annotationsRequire = "require"
	annotationsIgnore  = "ignore"
)

func defaultScrapeConfig() ScrapeConfig {
	return ScrapeConfig{
		ScrapeInterval:        defaultScrapeInterval,
		Scheme:                "http",
		BodySizeLimit:         defaultBodySizeLimit,
		KubernetesAnnotations: annotationsUse,
		ProfilingConfig:       ProfilingConfig{Profiles: defaultProfiles()},
		client:                commonconfig.DefaultHTTPClientConfig,
	}
}

// clientKeys are the keys of Prometheus' HTTP client.
var clientKeys = []string{
	"basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file", "tls_config",
	"follow_redirects", "enable_http2", "http_headers",
	"proxy_url", "no_proxy", "proxy_from_environment", "proxy_connect_header",
}

// plainScrapeConfig is a ScrapeConfig without methods, which the collector decodes
// and encodes by the tags of the fields.
type plainScrapeConfig ScrapeConfig

// Unmarshal implements confmap.Unmarshaler. It divides the keys between the fields,
// the HTTP client and the service discovery.
func (c *ScrapeConfig) Unmarshal(conf *confmap.Conf) error {
	*c = defaultScrapeConfig()
	ours, client, targets := map[string]any{}, map[string]any{}, map[string]any{}
	for key, value := range yamltext.Raw(conf) {
		switch {
		case promdiscovery.Owns(key):
			targets[key] = value
		case slices.Contains(clientKeys, key):
			client[key] = value
		default:
			ours[key] = value
		}
	}
	return errors.Join(
		confmap.NewFromStringMap(ours).Unmarshal((*plainScrapeConfig)(c)),
		c.targets.Unmarshal(confmap.NewFromStringMap(targets)),
		promdiscovery.Decode(client, &c.client),
	)
}

// Marshal implements confmap.Marshaler. It writes secrets as <secret>.
func (c ScrapeConfig) Marshal(conf *confmap.Conf) error {
	if err := conf.Marshal(plainScrapeConfig(c)); err != nil {
		return err
	}
	client, err := promdiscovery.Encode(c.client)
	if err != nil {
		return err
	}
	if err := conf.Merge(confmap.NewFromStringMap(client)); err != nil {
		return err
	}
	return c.targets.Marshal(conf)
}

// largestAnswer returns the largest body_size_limit of the jobs, in bytes.
func (c *Config) largestAnswer() int64 {
	most := int64(0)
	for i := range c.ScrapeConfigs {
		most = max(most, int64(c.ScrapeConfigs[i].BodySizeLimit))
	}
	return most
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	index := map[string]int{}
	for i, job := range c.ScrapeConfigs {
		if first, twice := index[job.JobName]; twice && job.JobName != "" {
			errs = append(errs, fmt.Errorf("scrape_configs::%d::job_name: %q is the name of job %d too; give one of them another name", i, job.JobName, first))
		}
		index[job.JobName] = i
	}
	return errors.Join(errs...)
}

// Validate implements xconfmap.Validator.
func (c *ScrapeConfig) Validate() error {
	var errs []error
	fail := func(key string, value any, want string) {
		errs = append(errs, fmt.Errorf("%s: %v %s", key, value, want))
	}
	if c.JobName == "" {
		errs = append(errs, errors.New("job_name: is not set; it becomes the label job, like app"))
	}
	if c.ScrapeInterval < time.Second {
		fail("scrape_interval", c.ScrapeInterval, "is too short; use at least 1s, like 15s")
	}
	if c.ScrapeTimeout < 0 {
		fail("scrape_timeout", c.ScrapeTimeout, "is negative; use one like 10s, or 0 for the scrape_interval")
	}
	if d := c.DeltaProfilingDuration; d != 0 && (d < time.Second || d > c.ScrapeInterval-time.Second) {
		fail("delta_profiling_duration", d, fmt.Sprintf("does not fit into the scrape_interval of %s; use 1s to %s, or 0 for the longest", c.ScrapeInterval, c.ScrapeInterval-time.Second))
	}
	if c.Scheme != "http" && c.Scheme != "https" {
		fail("scheme", fmt.Sprintf("%q", c.Scheme), "is not known; use http or https")
	}
	if c.Params.Has(paramSeconds) {
		errs = append(errs, errors.New("params::seconds: is set by the receiver for profiles with delta; use delta_profiling_duration"))
	}
	if c.BodySizeLimit < 64<<10 || c.BodySizeLimit > 1<<30 {
		fail("body_size_limit", c.BodySizeLimit, "is out of range; use 64KiB to 1GiB")
	}
	if !slices.Contains([]string{annotationsUse, annotationsRequire, annotationsIgnore}, c.KubernetesAnnotations) {
		fail("kubernetes_annotations", fmt.Sprintf("%q", c.KubernetesAnnotations), "is not known; use use, require or ignore")
	}
	errs = append(errs, c.validateAddresses())
	if err := c.client.Validate(); err != nil {
		errs = append(errs, err) // Prometheus' errors name the keys
	}
	errs = append(errs, c.validateProfiles()...)
	return errors.Join(errs...)
}

// validateAddresses returns an error if a static target is not an address. With
// relabel_configs, which may change it, any text is valid.
func (c *ScrapeConfig) validateAddresses() error {
	if len(c.targets.RelabelConfigs()) > 0 {
		return nil
	}
	for _, d := range c.targets.Configs() {
		static, _ := d.(discovery.StaticConfig)
		for _, group := range static {
			for _, target := range group.Targets {
				if address := target[model.AddressLabel]; promconfig.CheckTargetAddress(address) != nil {
					return fmt.Errorf("static_configs: %q is not an address; write it like localhost:6060, with the scheme under scheme and the path under profiling_config::path_prefix", address)
				}
			}
		}
	}
	return nil
}

// validateProfiles checks the profiles against the job's interval and against each
// other.
func (c *ScrapeConfig) validateProfiles() []error {
	var errs []error
	enabled := c.ProfilingConfig.enabled()
	if len(enabled) == 0 {
		errs = append(errs, errors.New("profiling_config::pprof_config: no profile is enabled; enable one like memory: {enabled: true}"))
	}
	for _, name := range slices.Sorted(maps.Keys(enabled)) {
		if enabled[name].Delta && c.ScrapeInterval < 2*time.Second {
			errs = append(errs, fmt.Errorf("scrape_interval: %s is too short for profiling_config::pprof_config::%s, which profiles for whole seconds in it; use at least 2s", c.ScrapeInterval, name))
		}
		// If annotations are required, pods choose one of the two.
		if other := profileName(name); other != name && c.KubernetesAnnotations != annotationsRequire {
			if _, both := enabled[other]; both {
				errs = append(errs, fmt.Errorf("profiling_config::pprof_config::%s: is the same profile as %s, which is enabled too; add %s: {enabled: false}", name, other, other))
			}
		}
	}
	return errs
}
