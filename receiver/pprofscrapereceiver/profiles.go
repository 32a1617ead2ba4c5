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

// ProfilingConfig selects the profiles of a target to scrape.
type ProfilingConfig struct {
	// PathPrefix comes before the path of every profile.
	PathPrefix string `mapstructure:"path_prefix"`
	// Profiles are the predefined profiles and others, by name.
	Profiles map[string]ProfileConfig `mapstructure:"pprof_config"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ProfileConfig is one profile of a target.
type ProfileConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Path of the endpoint; it may have a query.
	Path string `mapstructure:"path"`
	// Delta asks the target to profile for a number of seconds.
	Delta bool `mapstructure:"delta"`
	// Cumulative are sample types that count since the start of the process, like
	// alloc_space. The receiver sends their difference to the previous scrape. It is
	// ignored with Delta.
	Cumulative []string `mapstructure:"cumulative"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	paramSeconds = "seconds"
	// godeltaprof is the prefix of profiles whose differences the target computes,
	// with the library of that name.
	godeltaprof = "godeltaprof_"
)

// defaultProfiles returns the profiles that pyroscope.scrape of Grafana Alloy has,
// with the endpoints of net/http/pprof, github.com/felixge/fgprof and
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

// profileName returns the name under which a profile is stored, which does not
// depend on who computes the differences.
func profileName(name string) string { return strings.TrimPrefix(name, godeltaprof) }

// Unmarshal implements confmap.Unmarshaler. A predefined profile keeps the defaults
// of keys that are not set. Other profiles are enabled by default.
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

// profileNames matches the names that Pyroscope accepts for profiles.
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

// enabled returns the profiles to scrape.
func (c *ProfilingConfig) enabled() map[string]ProfileConfig {
	m := maps.Clone(c.Profiles)
	maps.DeleteFunc(m, func(_ string, p ProfileConfig) bool { return !p.Enabled })
	return m
}
