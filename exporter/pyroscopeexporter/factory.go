package pyroscopeexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/exporter/xexporter"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/push/shutdownlog"
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
	if cfg.Queue.HasValue() && cfg.Queue.Get().StorageID != nil {
		set.Logger = shutdownlog.Persistent(set.Logger)
	}
	helper, err := xexporterhelper.NewProfilesRequest(ctx, set, newRequest, e.push,
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		xexporterhelper.WithQueueBatch(cfg.Queue, queueSettings()),
		exporterhelper.WithRetry(cfg.Retry),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}), // the client has one for every request
	)
	if err != nil || cfg.Tenant.Header == "" {
		return helper, err
	}
	return &headerTenant{Profiles: helper, header: cfg.Tenant.Header}, nil
}
