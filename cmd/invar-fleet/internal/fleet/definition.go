package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/rollout"
	"github.com/invar-otel/invar/internal/config/configsize"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// MaxContent is the size limit of a pipeline's file, in bytes.
const MaxContent = 1 << 20

// definition is a parsed file of a pipeline. It is immutable.
type definition struct {
	matchers matchers
	texts    []string // of the matchers
	enabled  bool
	replaces []string
	plan     rollout.Plan
	config   []byte // what collectors get, YAML
}

// definitionFile is a pipeline's file as people write it.
type definitionFile struct {
	Matchers []string `yaml:"matchers"`
	Enabled  *bool    `yaml:"enabled"`
	Replaces []string `yaml:"replaces"`
	Rollout  struct {
		Stages    []int  `yaml:"stages"`
		Wait      string `yaml:"wait"`
		MaxFailed int    `yaml:"max_failed"`
	} `yaml:"rollout"`
	Config yaml.Node `yaml:"config"`
}

// parseDefinition parses the file of the pipeline name. Errors name the keys, and
// list everything that is wrong.
func parseDefinition(name string, content []byte) (*definition, error) {
	if len(content) > MaxContent {
		return nil, fmt.Errorf("the file has %d bytes; the limit is %d", len(content), MaxContent)
	}
	// Do not walk what no collector would accept.
	limits := remoteconf.Limits
	limits.Depth++ // for the key config
	if _, _, err := limits.Parse(content); errors.As(err, new(*configsize.LimitError)) {
		return nil, err
	}
	var file definitionFile
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the file is empty; it needs at least the key config with a collector configuration")
		}
		return nil, fmt.Errorf("the file is not a pipeline's YAML: %s", truncate(err.Error(), maxError)) // has a line for each value
	}
	if decoder.Decode(new(yaml.Node)) == nil {
		return nil, errors.New("the file has several YAML documents; write one file for each pipeline")
	}
	d := &definition{
		enabled:  file.Enabled == nil || *file.Enabled,
		replaces: file.Replaces,
		plan:     rollout.Plan{Stages: file.Rollout.Stages, MaxFailed: file.Rollout.MaxFailed},
	}
	var errs []error
	var err error
	if d.matchers, err = parseMatchers(file.Matchers); err != nil {
		errs = append(errs, err)
	}
	d.texts = d.matchers.texts()
	errs = append(errs, d.checkReplaces(name), d.readRollout(file.Rollout.Wait))
	if d.config, err = configBody(&file.Config); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, checkStructure(&file.Config))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *definition) checkReplaces(name string) error {
	for _, other := range d.replaces {
		if err := remoteconf.ValidName(other); err != nil {
			return fmt.Errorf("replaces: %w", err)
		}
		if other == name {
			return fmt.Errorf("replaces: %q is this pipeline itself; name others", other)
		}
	}
	return nil
}

// readRollout completes and checks the plan.
func (d *definition) readRollout(wait string) error {
	var errs []error
	p := &d.plan
	if len(p.Stages) == 0 {
		p.Stages = []int{100}
	}
	if !slices.IsSorted(p.Stages) || p.Stages[0] < 1 || p.Stages[len(p.Stages)-1] != 100 || len(slices.Compact(slices.Clone(p.Stages))) != len(p.Stages) {
		errs = append(errs, fmt.Errorf("rollout::stages: %v is not an ascending list of percentages from 1 that ends with 100; write it like [5, 25, 100]", p.Stages))
	}
	if wait != "" {
		var err error
		if p.Wait, err = time.ParseDuration(wait); err != nil || p.Wait < 0 || p.Wait > 30*24*time.Hour {
			errs = append(errs, fmt.Errorf("rollout::wait: %q is not a duration of 0s to 720h; write it like 10m", wait))
		}
	}
	if p.MaxFailed < 0 {
		errs = append(errs, fmt.Errorf("rollout::max_failed: %d is negative; use how many collectors may fail, from 0", p.MaxFailed))
	}
	return errors.Join(errs...)
}

// configBody encodes the configuration as collectors get it.
func configBody(config *yaml.Node) ([]byte, error) {
	if config.Kind == yaml.AliasNode {
		config = config.Alias
	}
	if config.Kind != yaml.MappingNode || len(config.Content) == 0 {
		return nil, errors.New("config: has to be a collector configuration, a map with receivers, exporters and service")
	}
	body, err := remoteconf.Body(config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	return body, nil
}

// checkStructure checks what does not depend on the components: that there are
// pipelines, and that everything they name is defined. Collectors check the rest.
func checkStructure(config *yaml.Node) error {
	var c struct {
		Receivers  map[string]yaml.Node `yaml:"receivers"`
		Processors map[string]yaml.Node `yaml:"processors"`
		Exporters  map[string]yaml.Node `yaml:"exporters"`
		Connectors map[string]yaml.Node `yaml:"connectors"`
		Extensions map[string]yaml.Node `yaml:"extensions"`
		Service    struct {
			Extensions []string  `yaml:"extensions"`
			Telemetry  yaml.Node `yaml:"telemetry"`
			Pipelines  map[string]struct {
				Receivers  []string `yaml:"receivers"`
				Processors []string `yaml:"processors"`
				Exporters  []string `yaml:"exporters"`
			} `yaml:"pipelines"`
		} `yaml:"service"`
	}
	if err := config.Decode(&c); err != nil {
		return fmt.Errorf("config: %s", truncate(err.Error(), maxError))
	}
	var errs []error
	if !c.Service.Telemetry.IsZero() {
		errs = append(errs, errors.New("config::service::telemetry: belongs to the collector's local configuration; leave it out"))
	}
	if len(c.Service.Pipelines) == 0 {
		errs = append(errs, errors.New("config::service::pipelines: there are none; write at least one, like metrics: {receivers: [otlp], exporters: [otlp_http]}"))
	}
	defined := func(key string, names []string, kinds string, in ...map[string]yaml.Node) {
		for _, name := range names {
			if !slices.ContainsFunc(in, func(m map[string]yaml.Node) bool { _, ok := m[name]; return ok }) {
				errs = append(errs, fmt.Errorf("config::%s: %q is not defined; define it below config::%s", key, name, kinds))
			}
		}
	}
	defined("service::extensions", c.Service.Extensions, "extensions", c.Extensions)
	for _, name := range sortedKeys(c.Service.Pipelines) {
		p, key := c.Service.Pipelines[name], "service::pipelines::"+name
		switch signal, _, _ := strings.Cut(name, "/"); signal {
		case "metrics", "logs", "traces", "profiles":
		default:
			errs = append(errs, fmt.Errorf("config::%s: %q is no signal; name it metrics, logs, traces or profiles, like metrics/2", key, signal))
		}
		if len(p.Receivers) == 0 {
			errs = append(errs, fmt.Errorf("config::%s::receivers: there are none; name at least one", key))
		}
		if len(p.Exporters) == 0 {
			errs = append(errs, fmt.Errorf("config::%s::exporters: there are none; name at least one", key))
		}
		defined(key+"::receivers", p.Receivers, "receivers or config::connectors", c.Receivers, c.Connectors)
		defined(key+"::processors", p.Processors, "processors", c.Processors)
		defined(key+"::exporters", p.Exporters, "exporters or config::connectors", c.Exporters, c.Connectors)
	}
	return errors.Join(errs...)
}

// unreadable returns the definition of a revision that cannot be read. It is for no
// collector.
func unreadable() *definition {
	noCollector, _ := parseMatchers([]string{`collector.id=""`})
	return &definition{matchers: noCollector, plan: rollout.Plan{Stages: []int{100}}}
}

// contentTag identifies a content of a file. It is the API's ETag, too.
func contentTag(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:16])
}
