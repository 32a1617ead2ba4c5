package summaryexporter

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
)

// Config is what a user writes under exporters::summary.
type Config struct {
	// Interval is the time between summaries.
	Interval time.Duration `mapstructure:"interval"`
	// Output is "stdout" or "stderr".
	Output string `mapstructure:"output"`
	// MaxServices is the number of services that are named per signal, busiest first.
	MaxServices int `mapstructure:"max_services"`
	// Watch selects metrics whose values are shown at the head of the summary.
	Watch []WatchConfig `mapstructure:"watch"`
	// Notes are lines that are printed below every summary.
	Notes []string `mapstructure:"notes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// WatchConfig selects series of one metric and how to show them as one value.
type WatchConfig struct {
	// Label is printed before the value.
	Label string `mapstructure:"label"`
	// Metric is the metric's name.
	Metric string `mapstructure:"metric"`
	// Attributes are attributes that a data point must have, with exactly these values.
	Attributes map[string]string `mapstructure:"attributes"`
	// Aggregation aggregates the matching series: "sum", "avg", "min" or "max".
	Aggregation string `mapstructure:"aggregation"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	return &Config{Interval: 10 * time.Second, Output: "stdout", MaxServices: 5}
}

// Validate reports every wrong setting.
func (c *Config) Validate() error {
	var errs []error
	if c.Interval < time.Second {
		errs = append(errs, fmt.Errorf("interval: %s is too short; use 1s or more", c.Interval))
	}
	if c.Output != "stdout" && c.Output != "stderr" {
		errs = append(errs, fmt.Errorf("output: %q is not an output; use stdout or stderr", c.Output))
	}
	if c.MaxServices < 0 {
		errs = append(errs, fmt.Errorf("max_services: %d is negative; use 0 to name none", c.MaxServices))
	}
	return errors.Join(errs...)
}

// Validate reports every wrong setting of a watch. The collector prefixes the error
// with the index of the watch.
func (w *WatchConfig) Validate() error {
	var errs []error
	if w.Metric == "" {
		errs = append(errs, errors.New("metric: must name a metric, for example system.cpu.utilization"))
	}
	if _, err := aggregationOf(w.Aggregation); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
