package pprofscrapereceiver

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
)

// ProfilingConfig is which profiles of a target to take.
type ProfilingConfig struct {
	// PathPrefix comes before the path of every profile.
	PathPrefix string `mapstructure:"path_prefix"`
	// Profiles are by name: those that are known beforehand, and any others.
	Profiles map[string]ProfileConfig `mapstructure:"pprof_config"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ProfileConfig is one profile of a target.
type ProfileConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Path of the endpoint; it may have a query.
	Path string `mapstructure:"path"`
	// Delta asks for a number of seconds, and for what happens during them.
	Delta bool `mapstructure:"delta"`
	// Cumulative are sample types that count since the start of the process, like
	// alloc_space: they become the difference to the scrape before. With Delta
	// there is nothing to subtract.
	Cumulative []string `mapstructure:"cumulative"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	paramSeconds = "seconds"
	// godeltaprof is the beginning of the names of profiles of which the target
	// computes the differences, with a library of that name.
	godeltaprof = "godeltaprof_"
)

// defaultProfiles are those that pyroscope.scrape of Grafana Alloy knows, with
// the endpoints of net/http/pprof, github.com/felixge/fgprof and
// github.com/grafana/pyroscope-go/godeltaprof.
func defaultProfiles() map[string]ProfileConfig {
	contention := []string{"contentions", "delay"}
	return map[string]ProfileConfig{
		"process_cpu":        {Enabled: true, Path: "/debug/pprof/profile", Delta: true},
		"memory":             {Enabled: true, Path: "/debug/pprof/allocs", Cumulative: []string{"alloc_objects", "alloc_space"}},
		"goroutine":          {Enabled: true, Path: "/debug/pprof/goroutine"},
		"block":              {Enabled: true, Path: "/debug/pprof/block", Cumulative: contention},
		"mutex":              {Enabled: true, Path: "/debug/pprof/mutex", Cumulative: contention},
		"fgprof":             {Path: "/debug/fgprof", Delta: true},
		"godeltaprof_memory": {Path: "/debug/pprof/delta_heap"},
		"godeltaprof_block":  {Path: "/debug/pprof/delta_block"},
		"godeltaprof_mutex":  {Path: "/debug/pprof/delta_mutex"},
	}
}

// profileName is what a profile is called where it is stored: who computed its
// differences does not matter there.
func profileName(name string) string { return strings.TrimPrefix(name, godeltaprof) }

// Unmarshal implements confmap.Unmarshaler. What is set of a known profile
// leaves its other defaults as they are; an unknown one is enabled.
func (c *ProfilingConfig) Unmarshal(conf *confmap.Conf) error {
	m := conf.ToStringMap()
	profiles, isMap := m["pprof_config"].(map[string]any)
	if !isMap && m["pprof_config"] != nil {
		return fmt.Errorf("pprof_config: %v is not a map; write it like {memory: {enabled: false}}", m["pprof_config"])
	}
	delete(m, "pprof_config")
	type plain ProfilingConfig
	errs := []error{confmap.NewFromStringMap(m).Unmarshal((*plain)(c))}
	if c.Profiles == nil {
		c.Profiles = defaultProfiles()
	}
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		profile, known := c.Profiles[name]
		if !known {
			profile.Enabled = true
		}
		keys, isMap := profiles[name].(map[string]any)
		if !isMap && profiles[name] != nil {
			errs = append(errs, fmt.Errorf("pprof_config::%s: %v is not a map; write it like {enabled: true, path: /debug/pprof/%s}", name, profiles[name], name))
			continue
		}
		if err := confmap.NewFromStringMap(keys).Unmarshal(&profile); err != nil {
			errs = append(errs, fmt.Errorf("pprof_config::%s: %w", name, err))
		}
		c.Profiles[name] = profile
	}
	return errors.Join(errs...)
}

// profileNames are what can be the name of a profile in Pyroscope.
var profileNames = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Validate implements xconfmap.Validator.
func (c *ProfilingConfig) Validate() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Profiles)) {
		profile := c.Profiles[name]
		if !profileNames.MatchString(name) {
			errs = append(errs, fmt.Errorf("pprof_config: %q cannot be the name of a profile; use letters, digits and underscores, like my_profile", name))
		}
		if !profile.Enabled {
			continue
		}
		u, err := url.Parse(profile.Path)
		if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") {
			errs = append(errs, fmt.Errorf("pprof_config::%s::path: %q is not a path; write it like /debug/pprof/%s", name, profile.Path, name))
		} else if u.Query().Has(paramSeconds) {
			errs = append(errs, fmt.Errorf("pprof_config::%s::path: %q sets seconds, which the receiver does for delta: true; remove it, and use delta_profiling_duration", name, profile.Path))
		}
	}
	return errors.Join(errs...)
}

// enabled are the profiles to take.
func (c *ProfilingConfig) enabled() map[string]ProfileConfig {
	m := maps.Clone(c.Profiles)
	maps.DeleteFunc(m, func(_ string, p ProfileConfig) bool { return !p.Enabled })
	return m
}
