package pdatasink

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/scrape"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadatatest"
)

// Samples without a place in pdata are counted by reason and logged once a minute. Other
// samples are not affected.
func TestLosses(t *testing.T) {
	md := store{"h": model.MetricTypeHistogram, "s": model.MetricTypeSummary, "om": model.MetricTypeCounter}
	f := func(reason string, n int64, all ...appended) {
		t.Helper()
		tel := componenttest.NewTelemetry()
		defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
		core, logs := observer.New(zap.InfoLevel)
		b := newBench(t, md, func(s *Settings) {
			s.Receiver.TelemetrySettings = tel.NewTelemetrySettings()
			s.Receiver.Logger = zap.New(core)
		})
		for range 3 {
			_, got := b.scrape(t, append(slices.Clone(all), series("fine", 1))...)
			require.Contains(t, names(got), "Gauge fine")
		}
		metadatatest.AssertEqualReceiverPrometheusScrapeDroppedSamples(t, tel, []metricdata.DataPoint[int64]{{
			Value:      3 * n,
			Attributes: attribute.NewSet(attribute.String("receiver", b.Receiver.ID.String()), attribute.String("reason", reason)),
		}}, metricdatatest.IgnoreTimestamp())
		require.Equal(t, 1, logs.FilterMessage("samples left out of the scrape: "+reason).Len())
		require.Equal(t, 1, logs.Len())
	}
	at := func(a appended, ms int64) appended { a.at = ms; return a }
	f(dropBoundary, 1, series("h_bucket", 1), series("h_count", 1))
	f(dropBoundary, 1, series("h_bucket", 1, "le", "x"), series("h_count", 1))
	f(dropBoundary, 1, series("s", 1, "quantile", ""), series("s_count", 1))
	f(dropIncomplete, 2, series("h_sum", 1), series("h_bucket", 1, "le", "1"))
	f(dropIncomplete, 2, series("s_sum", 1), series("s", 1, "quantile", "1"))
	f(dropIncomplete, 1, series("om_created", 1))
	f(dropDuplicate, 1, series("a", 1), series("a", 2))
	f(dropDuplicate, 1, series("a", 1), series("a", staleNaN))
	f(dropDuplicate, 1, series("h_count", 1), series("h_count", 2))
	f(dropDuplicate, 1, series("h_count", 1), series("h_bucket", 2, "le", "1"), series("h_bucket", 3, "le", "1.0"))
	f(dropTimestamp, 1, at(series("a", 1), math.MaxInt64))
	f(dropTimestamp, 1, at(series("a", 1), math.MinInt64))
	f(dropHistogram, 1, appended{labels: series("n", 0).labels, h: &histogram.Histogram{PositiveSpans: []histogram.Span{{Length: 1}}}})
	withExemplar := series("s_count", 1)
	withExemplar.exemplars = []exemplar.Exemplar{{Value: 1}}
	f(dropExemplar, 1, withExemplar)
}

// A series at several times becomes several points. The first sample of each time counts.
func TestSeveralTimes(t *testing.T) {
	b := newBench(t, store{"h": model.MetricTypeHistogram})
	at := func(a appended, ms int64) appended { a.at = ms; return a }
	_, got := b.scrape(t, at(series("a", 1), 10), at(series("a", 2), 20), at(series("a", 3), 10), at(series("a", 4), -5),
		at(series("h_count", 1), 10), at(series("h_count", 2), 20), at(series("h_sum", 3), 20))
	points := metrics(got)[0].Gauge().DataPoints()
	require.Equal(t, 3, points.Len())
	for i, want := range []struct {
		at int64
		v  float64
	}{{10, 1}, {20, 2}, {-5, 4}} {
		require.Equal(t, pcommon.Timestamp(want.at*1e6), points.At(i).Timestamp())
		require.InDelta(t, want.v, points.At(i).DoubleValue(), 0)
	}
	h := metrics(got)[1].Histogram().DataPoints()
	require.Equal(t, 2, h.Len())
	require.False(t, h.At(0).HasSum())
	require.True(t, h.At(1).HasSum())
}

// As in Prometheus, a series' own labels take precedence.
func TestExternalLabels(t *testing.T) {
	b := newBench(t, nil, func(s *Settings) {
		s.ExternalLabels = labels.FromStrings("cluster", "external", "zone", "z1", "job", "external", "instance", "external")
	})
	_, got := b.scrape(t, series("a", 1, "cluster", "own", "job", "j", "instance", "i"), series("b", 1, "job", "j", "instance", "i"))
	require.Equal(t, map[string]any{"cluster": "own", "zone": "z1"}, metrics(got)[0].Gauge().DataPoints().At(0).Attributes().AsRaw())
	require.Equal(t, map[string]any{"cluster": "external", "zone": "z1"}, metrics(got)[1].Gauge().DataPoints().At(0).Attributes().AsRaw())
	name, _ := got.ResourceMetrics().At(0).Resource().Attributes().Get("service.name")
	require.Equal(t, "j", name.Str())
}

// A series without job or instance, because of relabelling or federation, belongs to the
// target's resource and has empty attributes.
func TestSeriesWithoutIdentity(t *testing.T) {
	b := newBench(t, store{"h": model.MetricTypeHistogram})
	_, got := b.scrape(t, series("a", 1, "job", "j", "k", "v"), series("h_count", 1, "instance", "i"))
	require.Equal(t, map[string]any{"k": "v", "instance": ""}, metrics(got)[0].Gauge().DataPoints().At(0).Attributes().AsRaw())
	require.Equal(t, map[string]any{"job": ""}, metrics(got)[1].Histogram().DataPoints().At(0).Attributes().AsRaw())
	instance, _ := got.ResourceMetrics().At(0).Resource().Attributes().Get("service.instance.id")
	require.Equal(t, "host:80", instance.Str())
}

// The metadata contains what is needed to restore the exposition.
func TestMetadata(t *testing.T) {
	f := func(md scrape.MetricMetadata, trim bool, all []appended, want map[string]any) {
		t.Helper()
		b := newBench(t, nil, func(s *Settings) { s.TrimMetricSuffixes = trim })
		b.ctx = scrape.ContextWithMetricMetadataStore(b.ctx, oneFamily{md})
		_, got := b.scrape(t, all...)
		require.Equal(t, want, metrics(got)[0].Metadata().AsRaw())
	}
	counter := scrape.MetricMetadata{MetricFamily: "c", Type: model.MetricTypeCounter}
	f(counter, false, []appended{series("c_total", 1)}, map[string]any{"prometheus.type": "counter", "invar.prometheus.family": "c"})
	f(counter, true, []appended{series("c_total", 1)}, map[string]any{"prometheus.type": "counter"})
	f(counter, false, []appended{series("c", 1)}, map[string]any{"prometheus.type": "counter"})
	f(counter, false, []appended{series("c_total", 1), series("c_created", 1)},
		map[string]any{"prometheus.type": "counter", "invar.prometheus.family": "c", "invar.prometheus.created": "series"})
	histo := scrape.MetricMetadata{MetricFamily: "h", Type: model.MetricTypeHistogram}
	f(histo, false, []appended{series("h_count", 1)}, map[string]any{"prometheus.type": "histogram"})
	f(histo, false, []appended{{labels: series("h", 0).labels, h: &histogram.Histogram{}}}, map[string]any{"prometheus.type": "histogram"})
	f(histo, false, []appended{{labels: series("h", 0).labels, h: &histogram.Histogram{Schema: histogram.CustomBucketsSchema}}},
		map[string]any{"prometheus.type": "histogram", "invar.prometheus.histogram": "nhcb"})
	f(scrape.MetricMetadata{MetricFamily: "g", Type: model.MetricTypeGaugeHistogram}, false,
		[]appended{{labels: series("g", 0).labels, h: &histogram.Histogram{}}}, map[string]any{"prometheus.type": "gaugehistogram"})
}

// oneFamily is the metadata of an exposition with one family.
type oneFamily struct{ md scrape.MetricMetadata }

func (f oneFamily) GetMetadata(name string) (scrape.MetricMetadata, bool) {
	return f.md, name == f.md.MetricFamily
}
func (oneFamily) ListMetadata() []scrape.MetricMetadata { return nil }
func (oneFamily) SizeMetadata() int                     { return 0 }
func (oneFamily) LengthMetadata() int                   { return 1 }
