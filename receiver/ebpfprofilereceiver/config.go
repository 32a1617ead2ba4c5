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
	// SampleRate is how many times a second each CPU is sampled.
	SampleRate int `mapstructure:"sample_rate"`
	// Interval is how long a profile is.
	Interval time.Duration `mapstructure:"interval"`
	// Targets are what processes are told apart by, and which are profiled. Without
	// it all are.
	Targets promdiscovery.Job `mapstructure:"targets"`
	// OffCPU is the part of the switches away from a CPU that are recorded with the
	// time until the return, from 0 for none to 1 for all.
	OffCPU float64 `mapstructure:"off_cpu"`
	// Interpreters tells which languages have frames of their own, by name.
	Interpreters map[string]bool `mapstructure:"interpreters"`
	// MinProcessAge is how old a process is before it is profiled.
	MinProcessAge time.Duration `mapstructure:"min_process_age"`
	// MapScale is how many times the maps of the eBPF programs are doubled, for
	// hosts with very many mappings.
	MapScale uint `mapstructure:"map_scale"`
	// Symbols are those of native code.
	Symbols SymbolsConfig `mapstructure:"symbols"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// SymbolsConfig is how native frames are named.
type SymbolsConfig struct {
	// Demangle is how names of C++ and Rust are shown.
	Demangle elfsymbols.Demangle `mapstructure:"demangle"`
	// CacheSize is the most memory that symbols take.
	CacheSize bytesize.Size `mapstructure:"cache_size"`
	// UnknownFrames is how a frame without a name is called.
	UnknownFrames UnknownFrames `mapstructure:"unknown_frames"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// UnknownFrames is how a frame without a name is called.
type UnknownFrames string

const (
	// UnknownModule calls it after its executable: [libc.so.6].
	UnknownModule UnknownFrames = "module"
	// UnknownNone leaves it without a name, for a backend that finds names by
	// build ID and address.
	UnknownNone UnknownFrames = "none"
)

const (
	defaultSampleRate = 97 // a prime: no lockstep with what happens on the tens of milliseconds
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
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.SampleRate < 1 || c.SampleRate > maxSampleRate {
		bad("sample_rate: %d is not from 1 to %d samples a second and CPU", c.SampleRate, maxSampleRate)
	}
	if c.Interval < minInterval {
		bad("interval: %s is shorter than %s", c.Interval, minInterval)
	}
	if !(c.OffCPU >= 0 && c.OffCPU <= 1) { // so that NaN is none of it
		bad("off_cpu: %g is not from 0, which records nothing, to 1, which records all", c.OffCPU)
	}
	if c.MinProcessAge < 0 {
		bad("min_process_age: %s is negative; 0s profiles processes from their start", c.MinProcessAge)
	}
	if c.MapScale > maxMapScale {
		bad("map_scale: %d is more than %d", c.MapScale, maxMapScale)
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
