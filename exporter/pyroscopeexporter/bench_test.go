package pyroscopeexporter

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// accepting is a transport that accepts every request.
type accepting struct{}

func (accepting) RoundTrip(r *http.Request) (*http.Response, error) {
	_, err := io.Copy(io.Discard, r.Body)
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Body: http.NoBody, Request: r,
		Header: http.Header{"Content-Type": {"application/proto"}},
	}, err
}

// deepProfile returns a profile whose stacks share their roots, as those of a program
// do.
func deepProfile(samples, depth int) *profile.Profile {
	p := cpuProfile()
	p.Function, p.Location = nil, nil
	location := func(i int) *profile.Location {
		f := &profile.Function{ID: uint64(i + 1), Name: fmt.Sprintf("github.com/example/shop/internal/package%d.(*Handler).method%d", i%40, i), Filename: fmt.Sprintf("/src/package%d/file.go", i%40)}
		l := &profile.Location{ID: uint64(i + 1), Mapping: p.Mapping[0], Address: uint64(0x401000 + i*16), Line: []profile.Line{{Function: f, Line: int64(i % 500)}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		return l
	}
	for i := range 2000 {
		location(i)
	}
	for i := range samples {
		s := &profile.Sample{Value: []int64{1, 10_000_000}}
		for j := range depth {
			fan := 1 << min(depth-j, 10) // leaves first
			s.Location = append(s.Location, p.Location[(j*61+i%fan*7)%len(p.Location)])
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

// BenchmarkPush measures the exporter alone, from pdata to the bodies of requests: one
// process, and many of one service as a profiler of the whole node sees them. Use
// -cpu 1 for the figure of one core.
func BenchmarkPush(b *testing.B) {
	for _, processes := range []int{1, 20} {
		b.Run(fmt.Sprintf("processes=%d", processes), func(b *testing.B) {
			e := exporterFor(b, "http://pyroscope:4040", "")
			e.pusher.Client().Transport = accepting{}
			const samples = 1000
			var resources []map[string]string
			for i := range processes {
				resources = append(resources, map[string]string{"service.name": "shop", "k8s.pod.name": "shop-0", "process.pid": fmt.Sprint(i)})
			}
			pd := profilesOf(b, deepProfile(samples/processes, 30), resources...)
			req := batchOf(b, pd)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			started := time.Now()
			n := 0
			for b.Loop() {
				clear(req.parts[0].done) // send everything again
				require.NoError(b, e.push(b.Context(), req))
				n += samples
			}
			took := time.Since(started)
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(took.Nanoseconds())/float64(n), "ns/sample")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(n), "allocs/sample")
		})
	}
}

// BenchmarkMerge measures how the queue makes a batch of large messages.
func BenchmarkMerge(b *testing.B) {
	req := batchOf(b, profilesOf(b, deepProfile(1000, 30), service(strings.Repeat("a", 10))))
	b.ReportAllocs()
	for b.Loop() {
		all := batchOf(b, req.parts[0].data)
		for range 10 {
			merged, err := all.MergeSplit(b.Context(), 0, exporterhelper.RequestSizerTypeBytes, req)
			require.NoError(b, err)
			all = merged[0].(*batch)
		}
	}
}
