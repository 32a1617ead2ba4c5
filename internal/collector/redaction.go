package collector

import (
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/redaction"
)

// snapshot is what extensions are told of the configuration: with defaults and
// as written, both without secrets. Extensions report it to servers.
func snapshot(cfg *otelcol.Config, effective, written *confmap.Conf) extensioncapabilities.ConfigSnapshot {
	secrets := redaction.Of(cfg)
	if written != nil {
		secrets.AddConfig(written.ToStringMap())
	}
	return extensioncapabilities.NewConfigSnapshot(secrets.Conf(effective), secrets.Conf(written))
}
