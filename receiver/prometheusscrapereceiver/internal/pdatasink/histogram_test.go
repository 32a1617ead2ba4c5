package pdatasink

import (
	"math"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func TestStaleNative(t *testing.T) {
	md := store{"h": model.MetricTypeHistogram, "g": model.MetricTypeGaugeHistogram}
	exponential := &histogram.Histogram{Count: 1}
	custom := &histogram.Histogram{Count: 1, Schema: histogram.CustomBucketsSchema}
	f := func(live appended, want string) {
		t.Helper()
		b := newBench(t, md)
		refs, _ := b.scrape(t, live)
		_, got := b.scrape(t, appended{labels: live.labels, ref: refs[0], v: staleNaN})
		require.Equal(t, []string{want}, names(got))
		require.Equal(t, 1, got.DataPointCount())
		m := metrics(got)[0]
		switch m.Type() {
		case pmetric.MetricTypeExponentialHistogram:
			require.True(t, m.ExponentialHistogram().DataPoints().At(0).Flags().NoRecordedValue())
		case pmetric.MetricTypeHistogram:
			p := m.Histogram().DataPoints().At(0)
			require.True(t, p.Flags().NoRecordedValue())
			require.Zero(t, p.BucketCounts().Len()+p.ExplicitBounds().Len())
		default:
			require.True(t, m.Gauge().DataPoints().At(0).Flags().NoRecordedValue())
		}
	}
	f(appended{labels: series("h", 0).labels, h: exponential}, "ExponentialHistogram h")
	f(appended{labels: series("h", 0).labels, h: custom}, "Histogram h")
	f(appended{labels: series("g", 0).labels, h: exponential}, "ExponentialHistogram g")
	f(series("g", 1), "Gauge g")
	f(series("unknown", 1), "Gauge unknown")

	// Without a reference, the kind follows from the metadata.
	_, got := newBench(t, md).scrape(t, series("h", staleNaN))
	require.Equal(t, []string{"ExponentialHistogram h"}, names(got))
	// The sum may be a staleness marker.
	_, got = newBench(t, md).scrape(t, appended{labels: series("h", 0).labels, fh: &histogram.FloatHistogram{Sum: staleNaN}})
	require.True(t, metrics(got)[0].ExponentialHistogram().DataPoints().At(0).Flags().NoRecordedValue())
}

func TestExplicitBuckets(t *testing.T) {
	md := store{"h": model.MetricTypeHistogram}
	f := func(all []appended, bounds []float64, counts []uint64) {
		t.Helper()
		_, got := newBench(t, md).scrape(t, all...)
		require.Len(t, metrics(got), 1)
		p := metrics(got)[0].Histogram().DataPoints().At(0)
		require.Equal(t, bounds, p.ExplicitBounds().AsRaw())
		require.Equal(t, counts, p.BucketCounts().AsRaw())
	}
	// Two spellings of a boundary are two series; the first one counts.
	f([]appended{
		series("h_bucket", 3, "le", "1"), series("h_bucket", 5, "le", "2"), series("h_bucket", 4, "le", "1.0"), series("h_count", 9),
	}, []float64{1, 2}, []uint64{3, 2, 4})
	// Decreasing cumulative counts, as when a scrape coincides with an update.
	f([]appended{
		series("h_bucket", 3, "le", "1"), series("h_bucket", 2, "le", "2"), series("h_bucket", 4, "le", "+Inf"), series("h_count", 1),
	}, []float64{1, 2}, []uint64{3, 0, 0})
	f([]appended{
		series("h_bucket", 1, "le", "1"), series("h_bucket", math.NaN(), "le", "2"), series("h_bucket", 3, "le", "3"), series("h_count", 4),
	}, []float64{1, 2, 3}, []uint64{1, 0, 2, 1})
	// A bucket becomes stale while the histogram continues with another one.
	f([]appended{
		series("h_bucket", 1, "le", "1"), series("h_bucket", 3, "le", "4"), series("h_count", 4), series("h_bucket", staleNaN, "le", "2"),
	}, []float64{1, 4}, []uint64{1, 2, 1})
	f([]appended{series("h_bucket", math.Inf(1), "le", "1"), series("h_count", 1)}, []float64{1}, []uint64{math.MaxUint64, 0})

	custom := func(spans []histogram.Span, counts []float64) []appended {
		return []appended{{labels: series("h", 0).labels, fh: &histogram.FloatHistogram{
			Schema: histogram.CustomBucketsSchema, Count: 9, CustomValues: []float64{1, 2, 3, 4, 5}, PositiveSpans: spans, PositiveBuckets: counts,
		}}}
	}
	f(custom([]histogram.Span{{Offset: 1, Length: 2}, {Offset: 2, Length: 1}}, []float64{1.5, 2, 3}),
		[]float64{1, 2, 3, 4, 5}, []uint64{0, 1, 2, 0, 0, 3})
	f(custom(nil, nil), []float64{1, 2, 3, 4, 5}, []uint64{0, 0, 0, 0, 0, 0})
}

// TestMalformedNative has histograms that refer to missing buckets or would need gigabytes.
// They do not fail the scrape.
func TestMalformedNative(t *testing.T) {
	b := newBench(t, nil)
	f := func(h *histogram.Histogram) {
		t.Helper()
		_, got := b.scrape(t, series("fine", 1), appended{labels: series("h", 0).labels, h: h})
		require.Equal(t, []string{"Gauge fine"}, names(got))

		_, got = b.scrape(t, series("fine", 1), appended{labels: series("h", 0).labels, fh: h.ToFloat(nil)})
		require.Equal(t, []string{"Gauge fine"}, names(got))
	}
	type spans = []histogram.Span
	f(&histogram.Histogram{PositiveSpans: spans{{Length: 1}, {Offset: -1, Length: 1}}, PositiveBuckets: []int64{1, 1}})
	f(&histogram.Histogram{NegativeSpans: spans{{Length: 1}, {Offset: -1, Length: 1}}, NegativeBuckets: []int64{1, 1}})
	f(&histogram.Histogram{PositiveSpans: spans{{Length: 1}, {Offset: math.MaxInt32, Length: 1}}, PositiveBuckets: []int64{1, 1}})
	f(&histogram.Histogram{PositiveSpans: spans{{Length: 1}}, PositiveBuckets: []int64{1, 1}})
	f(&histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, CustomValues: []float64{1}, PositiveSpans: spans{{Offset: 1, Length: 2}}, PositiveBuckets: []int64{1, 1},
	})
	f(&histogram.Histogram{
		Schema: histogram.CustomBucketsSchema, CustomValues: []float64{1}, PositiveSpans: spans{{Offset: -1, Length: 1}}, PositiveBuckets: []int64{1},
	})
	// Spans with more buckets than there are. ToFloat cannot copy this one.
	_, got := b.scrape(t, appended{labels: series("h", 0).labels, h: &histogram.Histogram{PositiveSpans: spans{{Length: math.MaxUint32}}, PositiveBuckets: []int64{1}}})
	require.Empty(t, names(got))
	require.Equal(t, 1, b.logs.FilterMessage("samples left out of the scrape: invalid_histogram").Len(), "said once a minute")
}

func TestGaugeHistogramIsReported(t *testing.T) {
	b := newBench(t, nil)
	_, got := b.scrape(t, appended{labels: series("h", 0).labels, fh: &histogram.FloatHistogram{CounterResetHint: histogram.GaugeType}})
	require.Equal(t, []string{"ExponentialHistogram h"}, names(got))
	require.Equal(t, "h", b.logs.TakeAll()[0].ContextMap()["first"])
}
