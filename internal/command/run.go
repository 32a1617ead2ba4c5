package command

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/collector"
)

// uris collects the values of upstream's --config and --set flags, which upstream
// does not expose.
type uris struct {
	configs, sets []string
}

// record makes both flags of root add their values to u.
func (u *uris) record(root *cobra.Command) error {
	for name, add := range map[string]func(string){
		"config": func(v string) { u.configs = append(u.configs, v) },
		"set": func(v string) {
			key, value, _ := strings.Cut(v, "=") // the flag has checked for it
			u.sets = append(u.sets, "yaml:"+strings.TrimSpace(strings.ReplaceAll(key, ".", "::"))+": "+strings.TrimSpace(value))
		},
	} {
		flag := root.Flags().Lookup(name)
		if flag == nil {
			return fmt.Errorf("upstream's command has no flag --%s", name)
		}
		flag.Value = recordedValue{flag.Value, add}
	}
	return nil
}

// recordedValue is a flag's value that passes on what it is set to.
type recordedValue struct {
	pflag.Value
	add func(string)
}

// Set implements pflag.Value.
func (v recordedValue) Set(s string) error {
	if err := v.Value.Set(s); err != nil {
		return err
	}
	v.add(s)
	return nil
}

// settings returns set with the configuration that the flags name, as upstream's
// command does.
func (u *uris) settings(set otelcol.CollectorSettings) (otelcol.CollectorSettings, error) {
	resolver := &set.ConfigProviderSettings.ResolverSettings
	if given := slices.Concat(u.configs, u.sets); len(given) > 0 {
		resolver.URIs = given
	}
	if len(resolver.URIs) == 0 {
		return set, errors.New("at least one config flag must be provided")
	}
	if len(resolver.ProviderFactories) == 0 {
		return set, errors.New("at least one Provider must be supplied")
	}
	if resolver.DefaultScheme == "" {
		resolver.DefaultScheme = "env"
	}
	return set, nil
}

// run runs the collector until it ends.
func (u *uris) run(cmd *cobra.Command, set otelcol.CollectorSettings) error {
	set, err := u.settings(set)
	if err != nil {
		return err
	}
	c, err := collector.New(set)
	if err != nil {
		return err
	}
	return c.Run(cmd.Context())
}
