package summaryexporter

import (
	"context"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exporterhelper/xexporterhelper"
	"go.opentelemetry.io/collector/exporter/xexporter"

	"github.com/invar-otel/invar/exporter/summaryexporter/internal/metadata"
)

// NewFactory returns the factory of the summary exporter.
func NewFactory() exporter.Factory {
	f := &factory{summaries: map[*Config]*summary{}}
	return xexporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		xexporter.WithMetrics(f.createMetrics, metadata.MetricsStability),
		xexporter.WithLogs(f.createLogs, metadata.LogsStability),
		xexporter.WithTraces(f.createTraces, metadata.TracesStability),
		xexporter.WithProfiles(f.createProfiles, metadata.ProfilesStability),
	)
}

// factory has the summaries that the exporters of a configuration share. The
// collector passes the same *Config to the create functions of all signals, and a new
// one after a reload, so the pointer is the key.
type factory struct {
	mu        sync.Mutex
	summaries map[*Config]*summary
}

func (f *factory) summaryFor(cfg component.Config) *summary {
	c := cfg.(*Config)
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.summaries[c]
	if !ok {
		s = newSummary(c, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.summaries, c)
		})
		f.summaries[c] = s
	}
	s.join()
	return s
}

func (s *summary) options() []exporterhelper.Option {
	return []exporterhelper.Option{
		exporterhelper.WithStart(s.start),
		exporterhelper.WithShutdown(s.shutdown),
		exporterhelper.WithCapabilities(consumer.Capabilities{MutatesData: false}),
		exporterhelper.WithTimeout(exporterhelper.TimeoutConfig{Timeout: 0}), // counting does not block
	}
}

func (f *factory) createMetrics(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
	s := f.summaryFor(cfg)
	return exporterhelper.NewMetrics(ctx, set, cfg, s.consumeMetrics, s.options()...)
}

func (f *factory) createLogs(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
	s := f.summaryFor(cfg)
	return exporterhelper.NewLogs(ctx, set, cfg, s.consumeLogs, s.options()...)
}

func (f *factory) createTraces(ctx context.Context, set exporter.Settings, cfg component.Config) (exporter.Traces, error) {
	s := f.summaryFor(cfg)
	return exporterhelper.NewTraces(ctx, set, cfg, s.consumeTraces, s.options()...)
}

func (f *factory) createProfiles(ctx context.Context, set exporter.Settings, cfg component.Config) (xexporter.Profiles, error) {
	s := f.summaryFor(cfg)
	return xexporterhelper.NewProfiles(ctx, set, cfg, s.consumeProfiles, s.options()...)
}
