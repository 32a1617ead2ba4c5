// Code generated from metadata.yaml by `make generate`. DO NOT EDIT.

// Package metadata holds what metadata.yaml says about the component.
package metadata

import "go.opentelemetry.io/collector/component"

var (
	// Type is the component's type, the name users write in a configuration.
	Type = component.MustNewType("remote_config")
	// ScopeName is the instrumentation scope of the component's own telemetry.
	ScopeName = "github.com/invar-otel/invar/extension/remoteconfigextension"
)

// Stability of the component per signal.
const (
	ExtensionStability = component.StabilityLevelBeta
)
