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

// Job configures how targets are discovered and relabelled. It has the keys static_configs,
// *_sd_configs and relabel_configs of a Prometheus scrape_config, which Prometheus decodes and
// validates. Paths are relative to the working directory. The zero Job discovers nothing.
type Job struct {
	// The fields are unexported to hide them from the collector's own decoding and
	// validation.
	configs discovery.Configs
	rules   []*relabel.Config
}

// plainJob has the form that Prometheus' YAML functions require.
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

// Owns reports whether a Job has the key. Components use it if their configuration has further
// keys.
func Owns(key string) bool {
	return key == staticKey || key == relabelKey || strings.HasSuffix(key, sdSuffix)
}

// Unmarshal implements confmap.Unmarshaler. Every error begins with its key.
func (j *Job) Unmarshal(conf *confmap.Conf) error {
	m := yamltext.Raw(conf)
	var errs []error
	var job Job
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if err := job.unmarshalKey(key, m[key]); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	*j = job
	return nil
}

func (j *Job) unmarshalKey(key string, value any) error {
	if !Owns(key) {
		return errors.New("is not a key of service discovery; use static_configs, relabel_configs, or one like kubernetes_sd_configs")
	}
	if name, ok := strings.CutSuffix(key, sdSuffix); ok && !slices.Contains(discovery.RegisteredConfigNames(), name) {
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
		// Validate also sets the validation scheme, which applying a rule requires.
		if err := rule.Validate(model.UTF8Validation); err != nil {
			return fmt.Errorf("rule %d: %w", i, err)
		}
	}
	j.configs = append(j.configs, plain.Configs...)
	j.rules = append(j.rules, plain.Rules...)
	return nil
}

// Marshal implements confmap.Marshaler. Secrets become <secret>.
func (j Job) Marshal(conf *confmap.Conf) error {
	m, err := Encode(&plainJob{Configs: j.configs, Rules: j.rules})
	if err != nil {
		return err
	}
	return conf.Merge(confmap.NewFromStringMap(m))
}

// Empty reports whether the job discovers nothing.
func (j Job) Empty() bool { return len(j.configs) == 0 }

// Configs returns the discoveries of the job, with static_configs as a discovery.StaticConfig.
// They must not be modified.
func (j Job) Configs() discovery.Configs { return j.configs }

// RelabelConfigs returns the rules in order, for relabel.ProcessBuilder. They must not be
// modified and are safe for concurrent use.
func (j Job) RelabelConfigs() []*relabel.Config { return j.rules }
