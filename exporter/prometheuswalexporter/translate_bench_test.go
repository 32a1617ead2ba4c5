package prometheuswalexporter

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// benchMetrics are 20 metrics of 50 points each, of four types; set moves them
// on in time.
func benchMetrics(scraped bool) (md pmetric.Metrics, set func(pcommon.Timestamp)) {
	md = pmetric.NewMetrics()
	rm := md.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	rm.Resource().Attributes().PutStr("service.instance.id", "i1")
	rm.Resource().Attributes().PutStr("k8s.pod.name", "p1")
	sm := rm.ScopeMetrics().AppendEmpty()
	attributes := func(m pcommon.Map, i int) {
		m.PutStr("http.request.method", "GET")
		m.PutStr("http.route", fmt.Sprintf("/v1/things/%d", i))
		m.PutInt("http.response.status_code", int64(200+i%5))
		m.PutStr("server.address", "10.0.0.1")
	}
	if scraped {
		attributes = func(m pcommon.Map, i int) {
			m.PutStr("address", "10.0.0.1")
			m.PutStr("code", fmt.Sprint(200+i%5))
			m.PutStr("method", "GET")
			m.PutStr("route", fmt.Sprintf("/v1/things/%d", i))
		}
	}
	for i := range 20 {
		m := sm.Metrics().AppendEmpty()
		m.SetName(fmt.Sprintf("http.server.thing.%d", i))
		m.SetUnit("s")
		m.SetDescription("What it measures.")
		if scraped {
			m.SetName(fmt.Sprintf("http_server_thing_%d", i))
			m.Metadata().PutStr("prometheus.type", []string{"gauge", "counter", "histogram", "histogram"}[i%4])
		}
		for p := range 50 {
			switch i % 4 {
			case 0:
				if p == 0 {
					m.SetEmptyGauge()
				}
				dp := m.Gauge().DataPoints().AppendEmpty()
				dp.SetDoubleValue(float64(p))
				attributes(dp.Attributes(), p)
			case 1:
				if p == 0 {
					m.SetEmptySum().SetIsMonotonic(true)
					m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
				}
				dp := m.Sum().DataPoints().AppendEmpty()
				dp.SetDoubleValue(float64(p))
				attributes(dp.Attributes(), p)
			case 2:
				if p == 0 {
					m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
				}
				dp := m.Histogram().DataPoints().AppendEmpty()
				dp.SetCount(15)
				dp.SetSum(31)
				dp.ExplicitBounds().FromRaw([]float64{0.1, 0.5, 1, 5, 10})
				dp.BucketCounts().FromRaw([]uint64{0, 1, 2, 3, 4, 5})
				attributes(dp.Attributes(), p)
			case 3:
				if p == 0 {
					m.SetEmptyExponentialHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
				}
				dp := m.ExponentialHistogram().DataPoints().AppendEmpty()
				dp.SetCount(15)
				dp.SetSum(31)
				dp.SetScale(3)
				dp.Positive().SetOffset(-3)
				dp.Positive().BucketCounts().FromRaw([]uint64{0, 1, 2, 3, 4, 5})
				attributes(dp.Attributes(), p)
			}
		}
	}
	return md, func(ts pcommon.Timestamp) {
		for _, m := range sm.Metrics().All() {
			switch m.Type() {
			case pmetric.MetricTypeGauge:
				for _, p := range m.Gauge().DataPoints().All() {
					p.SetTimestamp(ts)
				}
			case pmetric.MetricTypeSum:
				for _, p := range m.Sum().DataPoints().All() {
					p.SetTimestamp(ts)
				}
			case pmetric.MetricTypeHistogram:
				for _, p := range m.Histogram().DataPoints().All() {
					p.SetTimestamp(ts)
				}
			case pmetric.MetricTypeExponentialHistogram:
				for _, p := range m.ExponentialHistogram().DataPoints().All() {
					p.SetTimestamp(ts)
				}
			}
		}
	}
}

// BenchmarkConsumeMetrics is a batch of a thousand points, 2,801 samples, from
// pdata to the queues.
func BenchmarkConsumeMetrics(b *testing.B) {
	for name, scraped := range map[string]bool{"otlp": false, "scraped": true} {
		b.Run(name, func(b *testing.B) {
			e, stop := benchPath(b, testConfig(b, "http://localhost"))
			defer stop()
			md, set := benchMetrics(scraped)
			at := pcommon.NewTimestampFromTime(time.Now().Add(-time.Hour))
			b.ReportAllocs()
			for b.Loop() {
				at += 1_000_000
				set(at)
				require.NoError(b, e.ConsumeMetrics(context.Background(), md))
				keepLive(e.queue)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/point")
		})
	}
}
