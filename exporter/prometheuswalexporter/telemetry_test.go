package prometheuswalexporter

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadatatest"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/translate"
	"github.com/invar-otel/invar/internal/healthstatus"
)

// Users' dashboards and alerts have the names, units, attributes and buckets.
func TestTelemetry(t *testing.T) {
	reader := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, reader.Shutdown(context.Background())) })
	set := reader.NewTelemetrySettings()
	tel, err := newTelemetry(set, component.NewID(metadata.Type), &healthstatus.Reporter{})
	require.NoError(t, err)

	tel.Dropped(queue.DropMaxAge, 1)
	tel.Dropped(queue.DropMaxAge, 0)
	tel.DroppedExemplars(dropInvalidExemplar, 2)
	tel.Replayed(3)
	tel.Damaged(4)
	tel.NotLogged(5)
	tel.AppendFailed(context.Canceled)
	tel.untranslated(translate.Losses{{Reason: translate.NoValue, Items: 6}, {Reason: translate.Refused, Items: 7}})
	tel.retried()
	tel.dividedRequest()
	tel.sentPoints(remotewrite.Counts{Samples: 8, Histograms: 1, Exemplars: 99})
	tel.failedPoints(remotewrite.Counts{Samples: 10})
	tel.answered(2*time.Second, 11, 204)
	now := time.Now()
	q, err := queue.Open(queue.Settings{
		Dir: t.TempDir(), SegmentSize: 1 << 20, Shards: 3, MaxSamplesPerSend: 100,
		Table: series.NewTable(now), Observer: tel, Logger: set.Logger, Now: time.Now,
	})
	require.NoError(t, err)
	require.NoError(t, tel.observe(q, 3, func() int { return 12 }, time.Now))

	exporter := attribute.String("exporter", "prometheus_wal")
	point := func(n int64, attributes ...attribute.KeyValue) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(append(attributes, exporter)...)}}
	}
	reason := func(r string) attribute.KeyValue { return attribute.String("reason", r) }
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualExporterPrometheusWalDroppedSamples(t, reader, point(1, reason("max_age")), ignore)
	metadatatest.AssertEqualExporterPrometheusWalDroppedExemplars(t, reader, point(2, reason("invalid")), ignore)
	metadatatest.AssertEqualExporterPrometheusWalReplayedSamples(t, reader, point(3), ignore)
	metadatatest.AssertEqualExporterPrometheusWalDamagedRecords(t, reader, point(4), ignore)
	metadatatest.AssertEqualExporterPrometheusWalNotLoggedSamples(t, reader, point(5), ignore)
	metadatatest.AssertEqualExporterPrometheusWalAppendFailures(t, reader, point(1), ignore)
	metadatatest.AssertEqualExporterPrometheusWalUntranslatedBatches(t, reader, point(1), ignore)
	metadatatest.AssertEqualExporterPrometheusWalUntranslatedItems(t, reader, point(6, reason("no_value")), ignore)
	metadatatest.AssertEqualExporterPrometheusWalRetries(t, reader, point(1), ignore)
	metadatatest.AssertEqualExporterPrometheusWalDividedRequests(t, reader, point(1), ignore)
	metadatatest.AssertEqualExporterSentMetricPoints(t, reader, point(9), ignore)
	metadatatest.AssertEqualExporterSendFailedMetricPoints(t, reader, point(10), ignore)
	metadatatest.AssertEqualExporterPrometheusWalRequestBytes(t, reader, point(11), ignore)
	metadatatest.AssertEqualExporterPrometheusWalRequestDuration(t, reader, []metricdata.HistogramDataPoint[float64]{{
		Attributes: attribute.NewSet(exporter, attribute.Int("http.response.status_code", 204)), Count: 1, Sum: 2,
		Min: metricdata.NewExtrema(2.0), Max: metricdata.NewExtrema(2.0),
		Bounds:       []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		BucketCounts: []uint64{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0},
	}}, ignore)
	metadatatest.AssertEqualExporterQueueSize(t, reader, point(0), ignore)
	metadatatest.AssertEqualExporterQueueCapacity(t, reader, point(600), ignore)
	metadatatest.AssertEqualExporterPrometheusWalSize(t, reader, point(0), ignore)
	metadatatest.AssertEqualExporterPrometheusWalSegments(t, reader, point(0), ignore)
	metadatatest.AssertEqualExporterPrometheusWalShards(t, reader, point(3), ignore)
	metadatatest.AssertEqualExporterPrometheusWalSeries(t, reader, point(12), ignore)
	metadatatest.AssertEqualExporterPrometheusWalOldestUnsentAge(t, reader,
		[]metricdata.DataPoint[float64]{{Attributes: attribute.NewSet(exporter)}}, ignore)

	// A closed exporter leaves nothing to observe.
	tel.close()
	require.NoError(t, q.Close(context.Background()))
	_, err = reader.GetMetric(prefix + "size")
	require.Error(t, err)
}

// A message that may concern every sample is logged once a minute, with the
// number of all events.
func TestThrottledLog(t *testing.T) {
	l := newThrottledLog(nil)
	f := func(key string, events, want int) {
		t.Helper()
		n, ok := l.due(key, events)
		require.Equal(t, want > 0, ok)
		require.Equal(t, want, n)
	}
	f("a", 3, 3)
	f("a", 2, 0)
	f("b", 1, 1)
	f("a", 1, 0)
	l.events["a"].loggedAt = time.Now().Add(-logInterval)
	f("a", 4, 7)
}
