package pyroscopeexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/exporter/xexporter"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/push"
)

// NewFactory returns the factory of the pyroscope exporter.
func NewFactory() exporter.Factory {
	return xexporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		xexporter.WithProfiles(createProfiles, metadata.ProfilesStability),
	)
}

func createProfiles(ctx context.Context, set exporter.Settings, c component.Config) (xexporter.Profiles, error) {
	cfg := c.(*Config)
	e, err := newExporter(set, cfg)
	if err != nil {
		return nil, err
	}
	profiles, err := xexporterhelper.NewProfilesRequest(ctx, cfg.HelperSettings(set), newBatch, e.push, append(cfg.HelperOptions(),
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		xexporterhelper.WithQueueBatch(cfg.Queue, queueSettings()),
	)...)
	if err != nil {
		return nil, err
	}
	return push.KeepProfilesTenant(profiles, cfg.Tenant.Header, attributeTenant), nil
}
