package promdiscovery

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/model/relabel"
	_ "github.com/prometheus/prometheus/plugins" // registers the service discoveries
	"go.opentelemetry.io/collector/confmap"

	"github.com/invar-otel/invar/internal/config/yamltext"
)

const (
	staticKey  = "static_configs"
	relabelKey = "relabel_configs"
	sdSuffix   = "_sd_configs"
)

// Job is where targets come from and how they are relabelled: the keys
// static_configs, *_sd_configs and relabel_configs of a Prometheus scrape_config.
// Prometheus reads and checks them. Paths in them are relative to the working
// directory. The zero Job discovers nothing; a Job is read only.
type Job struct {
	// Unexported, so that the collector does not walk into it with rules of
	// its own.
	configs discovery.Configs
	rules   []*relabel.Config
}

// plainJob is how Prometheus' YAML functions want a Job.
type plainJob struct {
	Configs discovery.Configs `yaml:"-"` // inlined
	Rules   []*relabel.Config `yaml:"relabel_configs,omitempty"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *plainJob) UnmarshalYAML(unmarshal func(any) error) error {
	return discovery.UnmarshalYAMLWithInlineConfigs(p, unmarshal)
}

// MarshalYAML implements yaml.Marshaler.
func (p *plainJob) MarshalYAML() (any, error) { return discovery.MarshalYAMLWithInlineConfigs(p) }

// Owns tells whether a key is one that a Job reads, for components whose
// configuration has such keys beside others.
func Owns(key string) bool {
	return key == staticKey || key == relabelKey || strings.HasSuffix(key, sdSuffix)
}

// Unmarshal implements confmap.Unmarshaler. Every error names its key.
func (j *Job) Unmarshal(conf *confmap.Conf) error {
	m := yamltext.Raw(conf)
	var errs []error
	var read Job
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if err := read.unmarshalKey(key, m[key]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	*j = read
	return nil
}

func (j *Job) unmarshalKey(key string, value any) error {
	if !Owns(key) {
		return errors.New("is not a key of service discovery; use static_configs, relabel_configs, or one like kubernetes_sd_configs")
	}
	if name, is := strings.CutSuffix(key, sdSuffix); is && !slices.Contains(discovery.RegisteredConfigNames(), name) {
		return fmt.Errorf("%q is not a known service discovery; use one of %s", name, strings.Join(discovery.RegisteredConfigNames(), ", "))
	}
	var plain plainJob
	if err := Decode(map[string]any{key: value}, &plain); err != nil {
		return err
	}
	for i, rule := range plain.Rules {
		if rule == nil {
			return fmt.Errorf("rule %d is empty; write it like {source_labels: [__address__], target_label: host}", i)
		}
		// It also sets the scheme, without which a rule cannot be applied.
		if err := rule.Validate(model.UTF8Validation); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
	}
	j.configs = append(j.configs, plain.Configs...)
	j.rules = append(j.rules, plain.Rules...)
	return nil
}

// Marshal implements confmap.Marshaler. Secrets come out as <secret>.
func (j Job) Marshal(conf *confmap.Conf) error {
	m, err := Encode(&plainJob{Configs: j.configs, Rules: j.rules})
	if err != nil {
		return err
	}
	return conf.Merge(confmap.NewFromStringMap(m))
}

// Empty tells that there is nothing to discover.
func (j Job) Empty() bool { return len(j.configs) == 0 }

// Configs are the discoveries of the job; static_configs are one of them, a
// discovery.StaticConfig. They are read only.
func (j Job) Configs() discovery.Configs { return j.configs }

// RelabelConfigs are ready for relabel.ProcessBuilder, in their order. They are
// read only, and may be used concurrently.
func (j Job) RelabelConfigs() []*relabel.Config { return j.rules }
