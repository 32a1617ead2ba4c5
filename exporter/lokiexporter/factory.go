package lokiexporter

import (
	"context"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/push/shutdownlog"
)

// NewFactory returns the factory of the loki exporter.
func NewFactory() exporter.Factory {
	return exporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		exporter.WithLogs(createLogs, metadata.LogsStability),
	)
}

func createLogs(ctx context.Context, set exporter.Settings, c component.Config) (exporter.Logs, error) {
	cfg := c.(*Config)
	e, err := newExporter(set, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Queue.HasValue() && cfg.Queue.Get().StorageID != nil {
		set.Logger = shutdownlog.Persistent(set.Logger)
	}
	helper, err := exporterhelper.NewLogs(ctx, set, cfg, e.push,
		exporterhelper.WithStart(e.start),
		exporterhelper.WithShutdown(e.shutdown),
		exporterhelper.WithQueue(cfg.Queue),
		exporterhelper.WithRetry(cfg.Retry),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}), // the client has one for every request
	)
	if err != nil || cfg.Tenant.Header == "" {
		return helper, err
	}
	return &headerTenant{Logs: helper, header: cfg.Tenant.Header}, nil
}
