//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

const (
	benchStacks    = 1000
	benchDepth     = 30
	benchProcesses = 50
)

// deepStacks returns stacks like those of programs in one language: they share their roots.
func deepStacks() []libpf.Frames {
	out := make([]libpf.Frames, benchStacks)
	for i := range out {
		names := make([]string, benchDepth)
		for level := range names {
			names[level] = strconv.Itoa(1 + (i>>(level/3))*benchDepth + level)
		}
		out[i] = frames(names...)
	}
	return out
}

// BenchmarkReportTraceEvent reports one sample of a known stack per operation.
func BenchmarkReportTraceEvent(b *testing.B) {
	c := collectorOnly()
	traces := make([]*libpf.Trace, benchStacks)
	metas := make([]*samples.TraceEventMeta, benchStacks)
	for i, stack := range deepStacks() {
		traces[i] = &libpf.Trace{Frames: stack}
		metas[i] = metaOf(i%benchProcesses+1, "/usr/bin/cart")
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if err := c.ReportTraceEvent(traces[i], metas[i]); err != nil {
			b.Fatal(err)
		}
		i = (i + 1) % benchStacks
	}
}

// BenchmarkBatch builds the message of one period.
func BenchmarkBatch(b *testing.B) {
	c := collectorOnly()
	for i, stack := range deepStacks() {
		report(b, c, stack, metaOf(i%benchProcesses+1, "/usr/bin/cart"))
	}
	p := c.rotate()
	p.end = p.start.Add(15 * time.Second)
	attributes := attribution.Attributes{"service.name": "cart", "k8s.pod.name": "cart-0", "k8s.namespace.name": "shop"}
	b.ReportAllocs()
	for b.Loop() {
		n := newNames()
		for key, s := range p.processes {
			for st := range s.all() {
				for _, f := range st.frames {
					n.want(f.Value(), key.pid)
				}
			}
		}
		batch := newBatch(p, defaultSampleRate, n, UnknownModule)
		for _, s := range p.processes {
			batch.add(s, attributes)
		}
		if batch.out.SampleCount() != benchStacks {
			b.Fatal("stacks are missing")
		}
	}
}
