package remoteconfigextension

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/invar-otel/invar/extension/remoteconfigextension/confinement"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/connecttransport"
	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/opamptransport"
)

// Config is what a user writes under extensions::remote_config.
type Config struct {
	// Connect and OpAMP are the protocols; exactly one is configured.
	Connect configoptional.Optional[connecttransport.Config] `mapstructure:"connect"`
	OpAMP   configoptional.Optional[opamptransport.Config]   `mapstructure:"opamp"`

	// ID identifies this collector; if empty, one is generated and kept.
	ID string `mapstructure:"id"`
	// Name is for people.
	Name string `mapstructure:"name"`
	// Attributes are added to the built-in ones. A server selects configurations by
	// them.
	Attributes map[string]string `mapstructure:"attributes"`
	// StorageDirectory holds the ID and the last known good configuration. If empty,
	// it is one of directories.
	StorageDirectory string `mapstructure:"storage_directory"`

	// Probation is how long changed pipelines are watched before they are kept.
	Probation time.Duration `mapstructure:"probation"`
	// MaxErrorRatio is the share of an exporter's items that, if lost during
	// probation, fails it.
	MaxErrorRatio float64 `mapstructure:"max_error_ratio"`
	// DrainTimeout bounds the shutdown of a pipeline.
	DrainTimeout time.Duration `mapstructure:"drain_timeout"`
	// Rules are what a remote configuration may use.
	Rules confinement.Rules `mapstructure:",squash"`
	// ReportLocalConfig also reports the local configuration to the server.
	ReportLocalConfig bool `mapstructure:"report_local_config"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	defaultProbation     = 30 * time.Second
	maxProbation         = time.Hour
	defaultMaxErrorRatio = 0.5
	defaultDrainTimeout  = 30 * time.Second

	// reservedPrefix is the prefix of the built-in attributes.
	reservedPrefix = "collector."
	// maxName bounds IDs, names and attributes in bytes. They are in every request.
	maxName = 1024
)

func createDefaultConfig() component.Config {
	return &Config{
		Connect:       configoptional.Default(connecttransport.NewDefaultConfig()),
		OpAMP:         configoptional.Default(opamptransport.NewDefaultConfig()),
		Probation:     defaultProbation,
		MaxErrorRatio: defaultMaxErrorRatio,
		DrainTimeout:  defaultDrainTimeout,
	}
}

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if c.Connect.HasValue() == c.OpAMP.HasValue() {
		errs = append(errs, errors.New("connect, opamp: exactly one must be configured; write it like connect: {endpoint: https://fleet.example.org}"))
	}
	errs = append(errs, validText("id", c.ID), validText("name", c.Name))
	if c.ID != strings.TrimSpace(c.ID) {
		errs = append(errs, fmt.Errorf("id: %q begins or ends with a space; remove it", c.ID))
	}
	for key, value := range c.Attributes {
		switch {
		case key == "":
			errs = append(errs, errors.New("attributes: has an empty name; write it like team: orders"))
		case strings.HasPrefix(key, reservedPrefix):
			errs = append(errs, fmt.Errorf("attributes: %q begins with %s, which the built-in attributes do; use another name", key, reservedPrefix))
		}
		errs = append(errs, validText("attributes", key), validText("attributes::"+key, value))
	}
	if c.Probation < 0 || c.Probation > maxProbation {
		errs = append(errs, fmt.Errorf("probation: %s is out of range; use 0s (none) to 1h", c.Probation))
	}
	if !(c.MaxErrorRatio >= 0 && c.MaxErrorRatio <= 1) { // NaN as well
		errs = append(errs, fmt.Errorf("max_error_ratio: %v is out of range; use 0 to 1, which permits all errors", c.MaxErrorRatio))
	}
	if c.DrainTimeout <= 0 {
		errs = append(errs, fmt.Errorf("drain_timeout: %s is out of range; use a duration above 0s, like 30s", c.DrainTimeout))
	}
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	slices.SortStableFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// validText returns an error for a text that the protocols cannot carry.
func validText(key, text string) error {
	switch {
	case len(text) > maxName:
		return fmt.Errorf("%s: has %d bytes; use at most %d", key, len(text), maxName)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Errorf("%s: %q has characters that are not text; remove them", key, text)
	}
	return nil
}
