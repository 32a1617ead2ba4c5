package promlane

import (
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/translator/prometheus"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// What the metadata of a scraped metric in pdata says of the exposition, beside
// prometheus.MetricMetadataTypeKey. The data model has the metadata of a metric
// for lossless ways back into another model: it identifies nothing, processors
// carry it along, and other exporters need not know it. A key is there only if
// the metric does not say it otherwise.
const (
	// MetadataFamily is the name that the exposition declared, when it is
	// not the name of the metric.
	MetadataFamily = "invar.prometheus.family"
	// MetadataCreated, with any value, says that the start timestamps were
	// _created series.
	MetadataCreated = "invar.prometheus.created"
	// MetadataHistogram is HistogramNHCB if the points of a histogram were
	// native ones with custom buckets.
	MetadataHistogram = "invar.prometheus.histogram"

	HistogramNHCB = "nhcb"
)

// The scopes of metrics that were scraped and had no otel_scope_* labels.
const (
	scrapeScope     = "github.com/invar-otel/invar/receiver/prometheusscrapereceiver"
	upstreamScope   = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"
	upstreamScope0x = "otelcol/prometheusreceiver" // before contrib v0.99
)

// IsScrapeScope reports whether a receiver gave its own name to the scope, for
// want of another.
func IsScrapeScope(name string) bool {
	return name == scrapeScope || name == upstreamScope || name == upstreamScope0x
}

// IsScraped reports whether a metric comes from a Prometheus exposition. It goes
// by the key that the OpenTelemetry specification has for the type of such
// metrics, which the receivers set and processors keep. A processor that makes
// metrics anew loses it; then the scope still tells, unless the series had one
// of its own.
func IsScraped(m pmetric.Metric, scope string) bool {
	if _, ok := m.Metadata().Get(prometheus.MetricMetadataTypeKey); ok {
		return true
	}
	return IsScrapeScope(scope)
}
