package promlane

import (
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Keys of the metadata of a scraped metric in pdata, in addition to
// prometheus.MetricMetadataTypeKey. The metadata of a metric is meant for lossless
// conversion to another data model: it is not identifying, processors pass it on,
// and other exporters ignore it. A key is set only if the metric itself does not
// hold the information.
const (
	// MetadataFamily is the name that the exposition declared, if it is not the
	// name of the metric.
	MetadataFamily = "invar.prometheus.family"
	// MetadataCreated, with any value, means that the start timestamps were
	// _created series.
	MetadataCreated = "invar.prometheus.created"
	// MetadataHistogram is HistogramNHCB if the points of a histogram were native
	// histograms with custom buckets.
	MetadataHistogram = "invar.prometheus.histogram"

	HistogramNHCB = "nhcb"
)

// The scopes of scraped metrics without otel_scope_* labels.
const (
	scrapeScope     = "github.com/invar-otel/invar/receiver/prometheusscrapereceiver"
	upstreamScope   = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"
	upstreamScope0x = "otelcol/prometheusreceiver" // before contrib v0.99
)

// IsScrapeScope reports whether the scope is named after a scraping receiver,
// because the series had none.
func IsScrapeScope(name string) bool {
	return name == scrapeScope || name == upstreamScope || name == upstreamScope0x
}

// IsScraped reports whether a metric comes from a Prometheus exposition. It looks
// for the metadata key that the OpenTelemetry specification defines for the type
// of such metrics, which receivers set and processors keep. A processor that
// creates new metrics loses it; then the scope decides, unless the series had a
// scope of its own.
func IsScraped(m pmetric.Metric, scope string) bool {
	if _, ok := m.Metadata().Get(prometheus.MetricMetadataTypeKey); ok {
		return true
	}
	return IsScrapeScope(scope)
}
