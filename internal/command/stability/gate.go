// Package stability refuses configurations that use components less mature
// than the user wants to run.
//
// Upstream factories state a stability per signal. The gate reads the effective
// configuration (after all providers and merges), looks up every component that a
// pipeline or service::extensions uses, for the signals it is used with, and
// reports all offenders in one error. As a confmap converter it applies wherever a
// configuration is resolved: run, validate, print-config, and every reload.
package stability

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/otelcol"
)

// NewConverterFactory returns the gate as a converter. level is read at each
// conversion, so it may be filled in by flag parsing after this call.
// factories is only called if a level was chosen.
func NewConverterFactory(level *Level, factories func() (otelcol.Factories, error)) confmap.ConverterFactory {
	return confmap.NewConverterFactory(func(confmap.ConverterSettings) confmap.Converter {
		return &gate{level: level, factories: factories}
	})
}

type gate struct {
	level     *Level
	factories func() (otelcol.Factories, error)
}

// Convert leaves conf as it is and returns an error if conf uses a component
// below the level.
func (g *gate) Convert(_ context.Context, conf *confmap.Conf) error {
	if g.level.min == component.StabilityLevelUndefined {
		return nil
	}
	factories, err := g.factories()
	if err != nil {
		return fmt.Errorf("list component factories: %w", err)
	}

	var below []use
	lowest := g.level.min
	for _, u := range usesIn(conf) {
		u.level = levelOf(factories, u)
		if !g.level.accepts(u.level) {
			below = append(below, u)
			lowest = min(lowest, u.level)
		}
	}
	if len(below) == 0 {
		return nil
	}
	return refusal(g.level, lowest, below)
}

func refusal(level *Level, lowest component.StabilityLevel, below []use) error {
	var b strings.Builder
	fmt.Fprintf(&b, "--stability=%s refuses this configuration:", level)
	for _, u := range below {
		fmt.Fprintf(&b, "\n  %s", u)
	}
	if lowest < component.StabilityLevelDevelopment {
		b.WriteString("\nremove them, or run without --stability")
	} else {
		fmt.Fprintf(&b, "\nremove them, or accept them with --stability=%s", strings.ToLower(lowest.String()))
	}
	return fmt.Errorf("%s", b.String())
}
