package ebpfprofilereceiver

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/invar-otel/invar/internal/config/bytesize"
	"github.com/invar-otel/invar/internal/promdiscovery"
	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/elfsymbols"
)

// Config is what a user writes under receivers::ebpf_profile.
type Config struct {
	// SampleRate is the number of samples a second on each CPU.
	SampleRate int `mapstructure:"sample_rate"`
	// Interval is the duration of a profile.
	Interval time.Duration `mapstructure:"interval"`
	// Targets discovers what processes belong to, and selects which are profiled. By
	// default, all are.
	Targets promdiscovery.Job `mapstructure:"targets"`
	// OffCPU is the fraction of switches away from a CPU for which the time until the
	// return is recorded, from 0 to 1.
	OffCPU float64 `mapstructure:"off_cpu"`
	// Interpreters enables or disables the frames of languages by name.
	Interpreters map[string]bool `mapstructure:"interpreters"`
	// MinProcessAge is the age from which on a process is profiled.
	MinProcessAge time.Duration `mapstructure:"min_process_age"`
	// MapScale doubles the size of the eBPF maps this many times, for hosts with very
	// many mappings.
	MapScale uint `mapstructure:"map_scale"`
	// Symbols configures how native frames are named.
	Symbols SymbolsConfig `mapstructure:"symbols"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// SymbolsConfig configures how native frames are named.
type SymbolsConfig struct {
	// Demangle selects how C++ and Rust names are shown.
	Demangle elfsymbols.Demangle `mapstructure:"demangle"`
	// CacheSize limits the memory for symbols.
	CacheSize bytesize.Size `mapstructure:"cache_size"`
	// UnknownFrames selects the name of frames whose name is not found.
	UnknownFrames UnknownFrames `mapstructure:"unknown_frames"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// UnknownFrames selects the name of frames whose name is not found.
type UnknownFrames string

const (
	// UnknownModule names them after their executable: [libc.so.6].
	UnknownModule UnknownFrames = "module"
	// UnknownNone leaves them without a name, for backends that find names by build ID
	// and address.
	UnknownNone UnknownFrames = "none"
)

const (
	defaultSampleRate = 97 // a prime, to avoid lockstep with periodic work
	maxSampleRate     = 1000
	defaultInterval   = 15 * time.Second
	minInterval       = time.Second
	defaultCacheSize  = 64 << 20
	minCacheSize      = 1 << 20
	maxMapScale       = 8
)

func createDefaultConfig() component.Config {
	return &Config{
		SampleRate: defaultSampleRate,
		Interval:   defaultInterval,
		Symbols: SymbolsConfig{
			Demangle:      elfsymbols.DemangleSimplified,
			CacheSize:     defaultCacheSize,
			UnknownFrames: UnknownModule,
		},
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	invalid := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.SampleRate < 1 || c.SampleRate > maxSampleRate {
		invalid("sample_rate: %d is not from 1 to %d samples a second and CPU", c.SampleRate, maxSampleRate)
	}
	if c.Interval < minInterval {
		invalid("interval: %s is shorter than %s", c.Interval, minInterval)
	}
	if !(c.OffCPU >= 0 && c.OffCPU <= 1) { // also refuses NaN
		invalid("off_cpu: %g is not from 0, which records nothing, to 1, which records all", c.OffCPU)
	}
	if c.MinProcessAge < 0 {
		invalid("min_process_age: %s is negative; 0s profiles processes from their start", c.MinProcessAge)
	}
	if c.MapScale > maxMapScale {
		invalid("map_scale: %d is more than %d", c.MapScale, maxMapScale)
	}
	if _, err := interpreters(c.Interpreters); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Validate implements xconfmap.Validator.
func (c *SymbolsConfig) Validate() error {
	var errs []error
	if err := c.Demangle.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("demangle: %w", err))
	}
	if c.CacheSize < minCacheSize {
		errs = append(errs, fmt.Errorf("cache_size: %s is less than %s", c.CacheSize, bytesize.Size(minCacheSize)))
	}
	if c.UnknownFrames != UnknownModule && c.UnknownFrames != UnknownNone {
		errs = append(errs, fmt.Errorf("unknown_frames: %q is not known; use %s or %s", c.UnknownFrames, UnknownModule, UnknownNone))
	}
	return errors.Join(errs...)
}
