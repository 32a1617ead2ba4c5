package prometheusscrapereceiver

import (
	"context"

	_ "github.com/prometheus/prometheus/plugins" // registers the service discoveries
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/invar-otel/invar/internal/promlane"
	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadata"
)

// NewFactory returns the factory of the prometheus_scrape receiver.
func NewFactory() receiver.Factory {
	return receiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		receiver.WithMetrics(createMetrics, metadata.MetricsStability),
	)
}

func createDefaultConfig() component.Config {
	return &Config{
		Lane:                promlane.Auto,
		ConfigFilesInterval: defaultConfigFilesInterval,
	}
}

func createMetrics(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
	return newReceiver(set, cfg.(*Config), next), nil
}
