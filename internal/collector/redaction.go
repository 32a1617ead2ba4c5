package collector

import (
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/otelcol"

	"github.com/invar-otel/invar/internal/config/redaction"
)

// snapshot returns what extensions see of the configuration: with defaults and as
// written, both without secrets, because extensions report it to servers.
func snapshot(cfg *otelcol.Config, effective, written *confmap.Conf) extensioncapabilities.ConfigSnapshot {
	secrets := secretsOf(cfg, written)
	return extensioncapabilities.NewConfigSnapshot(secrets.Conf(effective), secrets.Conf(written))
}

// withoutSecrets hides the secrets of a configuration in an error about it, which is
// logged and reported to servers. cfg is nil if the configuration was not decoded.
func withoutSecrets(err error, cfg *otelcol.Config, written *confmap.Conf) error {
	return secretsOf(cfg, written).Error(err)
}

func secretsOf(cfg *otelcol.Config, written *confmap.Conf) *redaction.Secrets {
	secrets := new(redaction.Secrets)
	if cfg != nil {
		secrets.AddComponents(cfg)
	}
	if written != nil {
		secrets.AddConfig(written.ToStringMap())
	}
	return secrets
}
