package lokiexporter

import (
	"context"
	"net/http"
	"testing"

	lokipush "github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/invar-otel/invar/exporter/lokiexporter/internal/metadatatest"
)

// Users' dashboards and alerts have the names, units, attributes and buckets.
func TestTelemetry(t *testing.T) {
	reader := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, reader.Shutdown(context.Background())) })
	s := newSink(t)
	isAway := false
	s.answer = func(_ *http.Request, streams []lokipush.Stream) (int, string) {
		if isAway {
			return 429, "ingestion rate limit exceeded for user fake"
		}
		for _, stream := range streams {
			if stream.Labels == `{service_name="bad"}` {
				return 400, "stream '{}' has label value too long: 'bad'"
			}
		}
		return 0, ""
	}
	cfg, err := parse(t, "endpoint: "+s.server.URL)
	require.NoError(t, err)
	e, err := newExporter(metadatatest.NewSettings(reader), cfg)
	require.NoError(t, err)
	require.NoError(t, e.start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, e.push(t.Context(), lines("good 1", "bad 2", "bad 3")))
	isAway = true
	require.Error(t, e.push(t.Context(), lines("good 1")))
	require.NoError(t, e.shutdown(t.Context()))

	exporter := attribute.String("exporter", "loki")
	point := func(n int64, attributes ...attribute.KeyValue) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(append(attributes, exporter)...)}}
	}
	ignore := []metricdatatest.Option{metricdatatest.IgnoreTimestamp(), metricdatatest.IgnoreExemplars()}
	metadatatest.AssertEqualExporterLokiRefusedLogRecords(t, reader, point(2, attribute.String("reason", "label_value_too_long")), ignore...)
	metadatatest.AssertEqualExporterLokiDelayedRequests(t, reader, point(1, attribute.String("reason", "rate_limited")), ignore...)
	metadatatest.AssertEqualExporterLokiDividedRequests(t, reader, point(2), ignore...)
	metadatatest.AssertEqualExporterLokiRequestBytes(t, reader, point(0), append(ignore, metricdatatest.IgnoreValue())...)
	duration := func(status int, n uint64) metricdata.HistogramDataPoint[float64] {
		return metricdata.HistogramDataPoint[float64]{
			Attributes: attribute.NewSet(exporter, attribute.Int("http.response.status_code", status)), Count: n,
			Bounds: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}
	}
	metadatatest.AssertEqualExporterLokiRequestDuration(t, reader,
		[]metricdata.HistogramDataPoint[float64]{duration(204, 1), duration(400, 2), duration(429, 1)}, append(ignore, metricdatatest.IgnoreValue())...)
}
