package prometheusscrapereceiver

import (
	"github.com/prometheus/prometheus/storage"
	"go.opentelemetry.io/collector/receiver/receiverhelper"

	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadata"
	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/pdatasink"
)

// pdataSink returns the sink of the pdata lane, which sends to the pipeline.
func (r *scrapeReceiver) pdataSink(obs *receiverhelper.ObsReport) (storage.AppendableV2, error) {
	return pdatasink.New(pdatasink.Settings{
		Next:               r.next,
		ExternalLabels:     r.cfg.Prometheus.config().GlobalConfig.ExternalLabels,
		TrimMetricSuffixes: r.cfg.TrimMetricSuffixes,
		Receiver:           r.set,
		ScopeName:          metadata.ScopeName,
		ObsReport:          obs,
	})
}
