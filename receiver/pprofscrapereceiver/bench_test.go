package pprofscrapereceiver

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta"
)

// heapProfile returns a heap profile of n stacks of 20 frames, like those of Go's
// runtime.
func heapProfile(b *testing.B, n int) []byte {
	b.Helper()
	p := &profile.Profile{SampleType: []*profile.ValueType{
		{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"},
		{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"},
	}}
	for i := range n {
		f := &profile.Function{ID: uint64(i) + 1, Name: fmt.Sprintf("example.com/module/package.function%d", i), Filename: "/src/package/file.go"}
		l := &profile.Location{ID: uint64(i) + 1, Address: uint64(i) * 16, Line: []profile.Line{{Function: f, Line: 10}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
	}
	for i := range n {
		s := &profile.Sample{Value: []int64{int64(i), int64(i) * 64, 1, 64}}
		for k := range 20 {
			s.Location = append(s.Location, p.Location[(i+k*k)%n])
		}
		p.Sample = append(p.Sample, s)
	}
	var buf bytes.Buffer
	require.NoError(b, p.Write(&buf))
	return buf.Bytes()
}

// BenchmarkScrape decompresses, parses, subtracts and converts an answer.
func BenchmarkScrape(b *testing.B) {
	data := heapProfile(b, 3000)
	f := &fetcher{reader: newTestReader(defaultBodySizeLimit)}
	l := &loop{
		target: &target{name: "memory", timeout: defaultScrapeInterval, labels: labels.FromStrings("job", "app", "instance", "a:1", "service_name", "app")},
		fetch: func(ctx context.Context, _ string) (*scraped, error) {
			buf := buffers.Get().(*bytes.Buffer)
			defer release(buf)
			if err := f.decompress(buf, bytes.NewReader(data)); err != nil {
				return nil, err
			}
			return f.reader.read(ctx, buf.Bytes())
		},
		consume: func(context.Context, pprofile.Profiles) error { return nil },
		convert: converter{}.convert, logger: zap.NewNop(), telemetry: nopTelemetry(b),
		delta: delta.New([]string{"alloc_objects", "alloc_space"}),
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		l.scrape(b.Context())
		if l.failing {
			b.Fatal("a scrape failed")
		}
	}
}

// BenchmarkTargets is an update of discovery with a thousand known targets of five
// profiles each.
func BenchmarkTargets(b *testing.B) {
	cfg, err := parseJob(b, `relabel_configs: [{source_labels: [__meta_zone], target_label: zone}]`)
	require.NoError(b, err)
	var targets [][]string
	for i := range 1000 {
		targets = append(targets, []string{"__address__", fmt.Sprintf("10.0.%d.%d:80", i/250, i%250), "__meta_zone", "a"})
	}
	g := group(targets...)
	b.ReportAllocs()
	for b.Loop() {
		found, errs := cfg.targetsOf(g)
		if len(found) != 5000 || len(errs) > 0 {
			b.Fatal(len(found), errs)
		}
	}
}
