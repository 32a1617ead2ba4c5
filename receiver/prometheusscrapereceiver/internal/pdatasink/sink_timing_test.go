package pdatasink

import (
	"fmt"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
)

// BenchmarkCommit appends and commits one scrape of 2,000 series with known references: 100
// counters, 60 gauges and 40 histograms of 10 series each.
func BenchmarkCommit(b *testing.B) {
	md := store{}
	var all []appended
	for i := range 100 {
		name := fmt.Sprintf("requests_%d_total", i)
		md[name] = model.MetricTypeCounter
		for j := range 10 {
			all = append(all, series(name, 1, "job", "j", "instance", "host:80", "code", fmt.Sprint(j), "method", "get", "path", "/api/v1/items"))
		}
	}
	for i := range 60 {
		name := fmt.Sprintf("level_%d", i)
		md[name] = model.MetricTypeGauge
		for j := range 10 {
			all = append(all, series(name, 1, "job", "j", "instance", "host:80", "device", fmt.Sprint(j)))
		}
	}
	for i := range 40 {
		name := fmt.Sprintf("wait_%d_seconds", i)
		md[name] = model.MetricTypeHistogram
		for j := range 8 {
			all = append(all, series(name+"_bucket", float64(j), "job", "j", "instance", "host:80", "path", "/api", "le", fmt.Sprint(j)))
		}
		all = append(all, series(name+"_sum", 1, "job", "j", "instance", "host:80", "path", "/api"),
			series(name+"_count", 9, "job", "j", "instance", "host:80", "path", "/api"))
	}
	bench := newBench(b, md, func(s *Settings) { s.Next = consumertest.NewNop() })
	refs, _ := bench.scrape(b, all...)

	b.ReportAllocs()
	for b.Loop() {
		app := bench.AppenderV2(bench.ctx)
		for i := range all {
			if _, err := app.Append(refs[i], all[i].labels, 0, now, all[i].v, nil, nil, storage.AOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		require.NoError(b, app.Commit())
	}
}
