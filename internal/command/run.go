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

// uris collects what upstream's --config and --set flags are given. Upstream
// keeps that to itself and prints it in a form that cannot be taken apart.
type uris struct {
	configs, sets []string
}

// listen makes both flags of root tell u their values.
func (u *uris) listen(root *cobra.Command) error {
	for name, heard := range map[string]func(string){
		"config": func(v string) { u.configs = append(u.configs, v) },
		"set": func(v string) {
			key, value, _ := strings.Cut(v, "=") // has been checked by the flag
			u.sets = append(u.sets, "yaml:"+strings.TrimSpace(strings.ReplaceAll(key, ".", "::"))+": "+strings.TrimSpace(value))
		},
	} {
		flag := root.Flags().Lookup(name)
		if flag == nil {
			return fmt.Errorf("upstream's command has no flag --%s", name)
		}
		flag.Value = heardValue{flag.Value, heard}
	}
	return nil
}

type heardValue struct {
	pflag.Value
	heard func(string)
}

// Set implements pflag.Value.
func (v heardValue) Set(s string) error {
	if err := v.Value.Set(s); err != nil {
		return err
	}
	v.heard(s)
	return nil
}

// settings are set with the configuration that the flags ask for, as upstream's
// command has them.
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
