package prometheuswalexporter

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/otlptranslator"
	"github.com/prometheus/prometheus/model/relabel"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configretry"
	"go.yaml.in/yaml/v2"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/config/yamltext"
)

// Config is what a user writes under exporters::prometheus_wal.
type Config struct {
	// ClientConfig is the endpoint and how to reach it.
	confighttp.ClientConfig `mapstructure:",squash"`
	// Retry is the pause between attempts. Samples are retried until accepted
	// or refused, or until the log has no room for them.
	Retry configretry.BackOffConfig `mapstructure:"retry_on_failure"`
	// ProtobufMessage is "auto" or the full name of a remote-write message.
	ProtobufMessage string `mapstructure:"protobuf_message"`
	// ExternalLabels are added to series that don't have them.
	ExternalLabels map[string]string `mapstructure:"external_labels"`
	// WriteRelabelConfigs are Prometheus' relabel_config entries, applied after
	// the external labels.
	WriteRelabelConfigs []yamltext.Part `mapstructure:"write_relabel_configs"`
	// SendExemplars and SendNativeHistograms can be turned off for endpoints
	// that refuse them.
	SendExemplars        bool `mapstructure:"send_exemplars"`
	SendNativeHistograms bool `mapstructure:"send_native_histograms"`

	// OutOfOrderTimeWindow is how much older than the newest sample of its series
	// a sample of the native lane may be, like storage::tsdb in Prometheus. Late
	// samples of OTLP are for the endpoint to judge.
	OutOfOrderTimeWindow time.Duration `mapstructure:"out_of_order_time_window"`

	WAL         WALConfig         `mapstructure:"wal"`
	Queue       QueueConfig       `mapstructure:"queue"`
	Translation TranslationConfig `mapstructure:"translation"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// WALConfig is the write-ahead log.
type WALConfig struct {
	// Directory belongs to this exporter alone. Empty means
	// data/prometheus_wal/<name of the exporter>, below the working directory.
	Directory string `mapstructure:"directory"`
	// MaxSize is the size above which the oldest unsent samples are dropped.
	MaxSize bytesize.Size `mapstructure:"max_size"`
	// MaxAge is the age above which unsent samples are dropped.
	MaxAge time.Duration `mapstructure:"max_age"`
	// SegmentSize is the size of the files the log consists of.
	SegmentSize bytesize.Size `mapstructure:"segment_size"`
	// FsyncInterval bounds what a power cut can lose; 0 syncs every commit.
	FsyncInterval time.Duration `mapstructure:"fsync_interval"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// directory returns where the log of the exporter is.
func (c *WALConfig) directory(id component.ID) string {
	if c.Directory != "" {
		return c.Directory
	}
	return filepath.Join("data", "prometheus_wal", cmp.Or(id.Name(), "default"))
}

// QueueConfig is how samples become requests.
type QueueConfig struct {
	// Shards is how many requests can be under way at a time.
	Shards int `mapstructure:"shards"`
	// MaxSamplesPerSend is the most samples in a request.
	MaxSamplesPerSend int `mapstructure:"max_samples_per_send"`
	// BatchSendDeadline is how long a sample may wait for others.
	BatchSendDeadline time.Duration `mapstructure:"batch_send_deadline"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// TranslationConfig is how OTLP metrics become Prometheus series. It does not
// apply to the native lane. Of scraped metrics in the pdata lane it concerns only
// the resource: promoted attributes and target_info.
type TranslationConfig struct {
	Strategy                          otlptranslator.TranslationStrategyOption `mapstructure:"strategy"`
	Namespace                         string                                   `mapstructure:"namespace"`
	TargetInfo                        bool                                     `mapstructure:"target_info"`
	PromoteResourceAttributes         []string                                 `mapstructure:"promote_resource_attributes"`
	PromoteAllResourceAttributes      bool                                     `mapstructure:"promote_all_resource_attributes"`
	IgnoreResourceAttributes          []string                                 `mapstructure:"ignore_resource_attributes"`
	KeepIdentifyingResourceAttributes bool                                     `mapstructure:"keep_identifying_resource_attributes"`
	PromoteScopeMetadata              bool                                     `mapstructure:"promote_scope_metadata"`
	ConvertHistogramsToNHCB           bool                                     `mapstructure:"convert_histograms_to_nhcb"`
	AllowDeltaTemporality             bool                                     `mapstructure:"allow_delta_temporality"`
	// TranslateScraped translates scraped metrics like all others. Without it
	// they keep their names.
	TranslateScraped bool `mapstructure:"translate_scraped"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	messageAuto = "auto"
	maxShards   = 256
)

func createDefaultConfig() component.Config {
	client := confighttp.NewDefaultClientConfig()
	client.Timeout = 30 * time.Second
	client.ForceAttemptHTTP2 = true
	retry := configretry.NewDefaultBackOffConfig()
	retry.InitialInterval = 100 * time.Millisecond
	retry.MaxInterval = 10 * time.Second
	retry.MaxElapsedTime = 0
	return &Config{
		ClientConfig:         client,
		Retry:                retry,
		ProtobufMessage:      messageAuto,
		SendExemplars:        true,
		SendNativeHistograms: true,
		WAL: WALConfig{
			MaxSize:       10 << 30,
			MaxAge:        24 * time.Hour,
			SegmentSize:   128 << 20,
			FsyncInterval: time.Second,
		},
		Queue: QueueConfig{
			Shards:            4,
			MaxSamplesPerSend: 5000,
			BatchSendDeadline: 5 * time.Second,
		},
		Translation: TranslationConfig{
			Strategy:             otlptranslator.UnderscoreEscapingWithSuffixes,
			TargetInfo:           true,
			PromoteScopeMetadata: true,
		},
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	fail := func(key string, value any, want string) {
		errs = append(errs, fmt.Errorf("%s: %v %s", key, value, want))
	}
	if c.Endpoint == "" {
		errs = append(errs, errors.New("endpoint: is not set; write it like http://localhost:9090/api/v1/write"))
	} else if u, err := url.Parse(c.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		fail("endpoint", fmt.Sprintf("%q", c.Endpoint), "is not an http or https URL; write it like http://localhost:9090/api/v1/write")
	}
	if c.Compression != "" {
		fail("compression", fmt.Sprintf("%q", c.Compression), "cannot be chosen: remote write is always snappy; remove the key")
	}
	if !c.Retry.Enabled {
		fail("retry_on_failure::enabled", false, "would lose samples; remove the key, and bound the log by wal::max_size and wal::max_age")
	}
	if c.Retry.MaxElapsedTime != 0 {
		fail("retry_on_failure::max_elapsed_time", c.Retry.MaxElapsedTime, "does not apply: samples leave the log by wal::max_age; remove the key")
	}
	switch remotewrite.Message(c.ProtobufMessage) {
	case messageAuto, remotewrite.V1, remotewrite.V2:
	default:
		fail("protobuf_message", fmt.Sprintf("%q", c.ProtobufMessage),
			fmt.Sprintf("is not known; use %s, %s or %s", messageAuto, remotewrite.V2, remotewrite.V1))
	}
	if c.OutOfOrderTimeWindow < 0 {
		fail("out_of_order_time_window", c.OutOfOrderTimeWindow, "is negative; use like 30m, or 0s to take samples in order only")
	}
	errs = append(errs, c.validateExternalLabels())
	if _, err := c.relabelConfigs(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.validateWAL(), c.validateQueue())
	if _, err := c.translation(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// validateExternalLabels accepts what Prometheus does, including names that begin
// with two underscores: Mimir's HA tracker looks for __replica__. The name of a
// metric cannot be added, because every series has one.
func (c *Config) validateExternalLabels() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.ExternalLabels)) {
		switch {
		case !model.UTF8Validation.IsValidLabelName(name):
			errs = append(errs, fmt.Errorf("external_labels: %q is not a label name; it has to be UTF-8 and not empty, like cluster", name))
		case name == model.MetricNameLabel:
			errs = append(errs, fmt.Errorf("external_labels: %q would have no effect, as every series has it; use write_relabel_configs", name))
		case !utf8.ValidString(c.ExternalLabels[name]):
			errs = append(errs, fmt.Errorf("external_labels::%s: %q is not UTF-8", name, c.ExternalLabels[name]))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateWAL() error {
	w := &c.WAL
	var errs []error
	if w.SegmentSize < 1<<20 || w.SegmentSize > 1<<30 {
		errs = append(errs, fmt.Errorf("wal::segment_size: %s is out of range; use 1MiB to 1GiB", w.SegmentSize))
	} else if w.MaxSize < 2*w.SegmentSize {
		errs = append(errs, fmt.Errorf("wal::max_size: %s is less than two segments of %s; use like 10GiB", w.MaxSize, w.SegmentSize))
	}
	if w.MaxAge < time.Minute {
		errs = append(errs, fmt.Errorf("wal::max_age: %s is too short; use at least 1m, like 24h", w.MaxAge))
	}
	if w.FsyncInterval < 0 || w.FsyncInterval > time.Minute {
		errs = append(errs, fmt.Errorf("wal::fsync_interval: %s is out of range; use 0s (every commit) to 1m", w.FsyncInterval))
	}
	return errors.Join(errs...)
}

func (c *Config) validateQueue() error {
	q := &c.Queue
	var errs []error
	if q.Shards < 1 || q.Shards > maxShards {
		errs = append(errs, fmt.Errorf("queue::shards: %d is out of range; use 1 to %d", q.Shards, maxShards))
	}
	if q.MaxSamplesPerSend < 1 || q.MaxSamplesPerSend > 100_000 {
		errs = append(errs, fmt.Errorf("queue::max_samples_per_send: %d is out of range; use 1 to 100000", q.MaxSamplesPerSend))
	}
	if q.BatchSendDeadline <= 0 {
		errs = append(errs, fmt.Errorf("queue::batch_send_deadline: %s is not positive; use like 5s", q.BatchSendDeadline))
	}
	return errors.Join(errs...)
}

// relabelConfigs reads write_relabel_configs as Prometheus does.
func (c *Config) relabelConfigs() ([]*relabel.Config, error) {
	if len(c.WriteRelabelConfigs) == 0 {
		return nil, nil
	}
	out, err := yamltext.MarshalParts(c.WriteRelabelConfigs)
	if err != nil {
		return nil, fmt.Errorf("write_relabel_configs: %w", err)
	}
	var cfgs []*relabel.Config
	if err := yaml.UnmarshalStrict(out, &cfgs); err != nil {
		return nil, fmt.Errorf("write_relabel_configs: %w", err)
	}
	for i, r := range cfgs {
		if r == nil {
			return nil, fmt.Errorf("write_relabel_configs::%d: is empty; write a relabel_config", i)
		}
		if err := r.Validate(model.UTF8Validation); err != nil {
			return nil, fmt.Errorf("write_relabel_configs::%d: %w", i, err)
		}
	}
	return slices.Clip(cfgs), nil
}
