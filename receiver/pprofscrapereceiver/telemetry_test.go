package pprofscrapereceiver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/metadatatest"
)

// Users' dashboards and alerts have the names, units, attributes and buckets.
func TestTelemetry(t *testing.T) {
	reader := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, reader.Shutdown(context.Background())) })
	set := metadatatest.NewSettings(reader)
	tel, err := newTelemetry(set.TelemetrySettings, set.ID)
	require.NoError(t, err)

	memory := tel.forProfile("memory")
	memory.scraped(2*time.Second, 2000)
	memory.restarted()
	memory.failed(reasonStatus)
	memory.dropped(pprofconv.DroppedNegative, 3)
	tel.scraping("shop", 4)

	receiver, profile := attribute.String("receiver", "pprof_scrape"), attribute.String("profile", "memory")
	point := func(n int64, attributes ...attribute.KeyValue) []metricdata.DataPoint[int64] {
		return []metricdata.DataPoint[int64]{{Value: n, Attributes: attribute.NewSet(append(attributes, receiver)...)}}
	}
	ignore := metricdatatest.IgnoreTimestamp()
	metadatatest.AssertEqualReceiverPprofScrapeScrapes(t, reader, point(1, profile), ignore)
	metadatatest.AssertEqualReceiverPprofScrapeCounterRestarts(t, reader, point(1, profile), ignore)
	metadatatest.AssertEqualReceiverPprofScrapeFailedScrapes(t, reader, point(1, profile, attribute.String("reason", "status")), ignore)
	metadatatest.AssertEqualReceiverPprofScrapeDroppedSamples(t, reader, point(3, profile, attribute.String("reason", "negative_value")), ignore)
	metadatatest.AssertEqualReceiverPprofScrapeTargets(t, reader, point(4, attribute.String("job", "shop")), ignore)
	metadatatest.AssertEqualReceiverPprofScrapeScrapeDuration(t, reader, []metricdata.HistogramDataPoint[float64]{{
		Attributes: attribute.NewSet(receiver, profile), Count: 1, Sum: 2,
		Min: metricdata.NewExtrema(2.0), Max: metricdata.NewExtrema(2.0),
		Bounds:       []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 15, 30, 60},
		BucketCounts: []uint64{0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0},
	}}, ignore)
	metadatatest.AssertEqualReceiverPprofScrapeProfileSize(t, reader, []metricdata.HistogramDataPoint[int64]{{
		Attributes: attribute.NewSet(receiver, profile), Count: 1, Sum: 2000,
		Min: metricdata.NewExtrema(int64(2000)), Max: metricdata.NewExtrema(int64(2000)),
		Bounds:       []float64{1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20},
		BucketCounts: []uint64{0, 1, 0, 0, 0, 0, 0, 0, 0, 0},
	}}, ignore)
}
