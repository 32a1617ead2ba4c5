package prometheusscrapereceiver

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	promconfig "github.com/prometheus/prometheus/config"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.yaml.in/yaml/v2"

	"github.com/invar-otel/invar/internal/config/yamltext"
	"github.com/invar-otel/invar/internal/promlane"
)

// Config is what a user writes under receivers::prometheus_scrape.
type Config struct {
	// Prometheus is a Prometheus configuration: global, scrape_configs and
	// scrape_config_files.
	Prometheus PromConfig `mapstructure:"config"`
	// Lane is auto, native or pdata. A collector with the lane converter replaces auto
	// before the receiver is created.
	Lane promlane.Lane `mapstructure:"lane"`
	// NativeExporters lists the exporters of the native lane. The lane converter sets
	// it.
	NativeExporters []component.ID `mapstructure:"native_exporters"`
	// LaneReason says why the lane was chosen. The lane converter sets it.
	LaneReason string `mapstructure:"lane_reason"`
	// ConfigFilesInterval is the interval at which scrape_config_files are checked.
	ConfigFilesInterval time.Duration `mapstructure:"config_files_interval"`
	// StartTimestamps reads start ("created") timestamps from expositions instead of
	// _created series.
	StartTimestamps bool `mapstructure:"start_timestamps"`
	// TrimMetricSuffixes removes unit and type suffixes from names in the pdata lane.
	TrimMetricSuffixes bool `mapstructure:"trim_metric_suffixes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const defaultConfigFilesInterval = 15 * time.Second

// PromConfig is a Prometheus configuration, loaded and validated by Prometheus from the
// user's YAML. The zero value is an empty configuration.
type PromConfig struct {
	// The fields are unexported to hide them from the collector's own decoding and
	// validation.
	loaded *promconfig.Config
	source []byte // the YAML, for load
}

// Unmarshal implements confmap.Unmarshaler.
func (c *PromConfig) Unmarshal(conf *confmap.Conf) error {
	m := yamltext.Raw(conf)
	if len(m) == 0 {
		return nil
	}
	source, err := yamltext.Marshal(m)
	if err != nil {
		return err
	}
	loaded, err := promconfig.Load(string(source), slog.New(slog.DiscardHandler))
	if err != nil {
		return promError(err)
	}
	c.loaded, c.source = loaded, source
	return nil
}

// Marshal implements confmap.Marshaler. Secrets become <secret>, and settings of a
// Prometheus server are omitted.
func (c PromConfig) Marshal(conf *confmap.Conf) error {
	if c.loaded == nil {
		return nil
	}
	out, err := yaml.Marshal(c.loaded)
	if err != nil {
		return err
	}
	var m map[string]any
	if err := yaml.Unmarshal(out, &m); err != nil {
		return err
	}
	maps.DeleteFunc(m, func(key string, _ any) bool {
		return !slices.Contains([]string{"global", "scrape_configs", "scrape_config_files"}, key)
	})
	return conf.Merge(confmap.NewFromStringMap(m))
}

// config returns the loaded configuration, which must not be modified.
func (c *PromConfig) config() *promconfig.Config {
	if c.loaded == nil {
		return emptyConfig()
	}
	return c.loaded
}

var emptyConfig = sync.OnceValue(func() *promconfig.Config {
	empty, err := promconfig.Load("", slog.New(slog.DiscardHandler))
	if err != nil { // cannot happen: there is nothing to validate
		return new(promconfig.Config)
	}
	return empty
})

// unsupported lists the sections of a Prometheus configuration that do not apply to a
// scraper, with alternatives.
var unsupported = []struct {
	key, instead string
	present      func(*promconfig.Config) bool
}{
	{"remote_write", "write to exporters::prometheus_wal", func(c *promconfig.Config) bool { return len(c.RemoteWriteConfigs) > 0 }},
	{"remote_read", "remove it", func(c *promconfig.Config) bool { return len(c.RemoteReadConfigs) > 0 }},
	{"rule_files", "evaluate rules in Prometheus or Mimir", func(c *promconfig.Config) bool { return len(c.RuleFiles) > 0 }},
	{"alerting", "configure it in Prometheus or Mimir", func(c *promconfig.Config) bool {
		return len(c.AlertingConfig.AlertmanagerConfigs) > 0 || len(c.AlertingConfig.AlertRelabelConfigs) > 0
	}},
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	p := c.Prometheus.config()
	for _, u := range unsupported {
		if u.present(p) {
			errs = append(errs, fmt.Errorf("config::%s: is not supported by a scraper; %s", u.key, u.instead))
		}
	}
	if _, err := p.GetScrapeConfigs(); err != nil {
		errs = append(errs, fmt.Errorf("config::scrape_configs: %w", err))
	}
	if !slices.Contains([]promlane.Lane{promlane.Auto, promlane.Native, promlane.Pdata}, c.Lane) {
		errs = append(errs, fmt.Errorf("lane: %q is not known; use auto, native or pdata", c.Lane))
	}
	if c.Lane == promlane.Native && len(c.NativeExporters) == 0 {
		errs = append(errs, errors.New("lane: native needs a collector that plans lanes; use auto"))
	}
	if c.Lane == promlane.Native && c.TrimMetricSuffixes {
		errs = append(errs, errors.New("trim_metric_suffixes: true applies to the pdata lane only, and this receiver is in the native lane; remove it or set lane: pdata"))
	}
	if c.ConfigFilesInterval < time.Second {
		errs = append(errs, fmt.Errorf("config_files_interval: %s is too short; use at least 1s, like 15s", c.ConfigFilesInterval))
	}
	return errors.Join(errs...)
}

// load loads the configuration again, with the current content of scrape_config_files.
func (c *PromConfig) load() (*promconfig.Config, error) {
	cfg, err := promconfig.Load(string(c.source), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, promError(err)
	}
	cfg.ScrapeConfigs, err = cfg.GetScrapeConfigs()
	if err != nil {
		return nil, err
	}
	for _, sc := range cfg.ScrapeConfigs {
		if sc.ScrapeFallbackProtocol == "" {
			// Prometheus 3 refuses responses without a Content-Type. Collectors have
			// always parsed them as text.
			sc.ScrapeFallbackProtocol = promconfig.PrometheusText0_0_4
		}
	}
	// The managers read the jobs from cfg again, which includes those of the files now.
	cfg.ScrapeConfigFiles = nil
	return cfg, nil
}
