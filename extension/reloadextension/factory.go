package reloadextension

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"

	"github.com/invar-otel/invar/extension/reloadextension/internal/metadata"
)

// NewFactory returns the factory of the reload extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(metadata.Type, createDefaultConfig, create, metadata.ExtensionStability)
}

func create(_ context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	e := &reloadExtension{cfg: cfg.(*Config), set: set.TelemetrySettings}
	e.peer = e.checkPeer
	return e, nil
}
