//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/ebpf-profiler/libpf"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// dump renders profiles with everything they refer to in a stable order, one sample per
// line. It fails the test if an index is out of range.
func dump(t testing.TB, profiles pprofile.Profiles) string {
	t.Helper()
	dict := profiles.Dictionary()
	str := func(i int32) string { return dict.StringTable().At(int(i)) }
	attributes := func(of pcommon.Int32Slice) string {
		var out []string
		for _, i := range of.AsRaw() {
			a := dict.AttributeTable().At(int(i))
			out = append(out, str(a.KeyStrindex())+"="+a.Value().AsString())
		}
		return "{" + strings.Join(out, " ") + "}"
	}
	location := func(l pprofile.Location) string {
		var out strings.Builder
		fmt.Fprintf(&out, "%#x%s", l.Address(), attributes(l.AttributeIndices()))
		for _, line := range l.Lines().All() {
			f := dict.FunctionTable().At(int(line.FunctionIndex()))
			fmt.Fprintf(&out, " %s", str(f.NameStrindex()))
			if file := str(f.FilenameStrindex()); file != "" {
				fmt.Fprintf(&out, " %s:%d:%d", file, line.Line(), line.Column())
			}
		}
		if l.MappingIndex() != 0 {
			m := dict.MappingTable().At(int(l.MappingIndex()))
			fmt.Fprintf(&out, " in %s %#x-%#x@%#x%s", str(m.FilenameStrindex()), m.MemoryStart(), m.MemoryLimit(), m.FileOffset(), attributes(m.AttributeIndices()))
		}
		return out.String()
	}
	var resources []string
	for _, rp := range profiles.ResourceProfiles().All() {
		var text strings.Builder
		var resource []string
		for key, value := range rp.Resource().Attributes().All() {
			resource = append(resource, key+"="+value.AsString())
		}
		fmt.Fprintf(&text, "%s\n", strings.Join(resource, " "))
		var scopes []string
		for _, sp := range rp.ScopeProfiles().All() {
			require.Equal(t, 1, sp.Profiles().Len())
			p := sp.Profiles().At(0)
			var head strings.Builder
			fmt.Fprintf(&head, "  %v %s/%s", sp.Scope().Attributes().AsRaw(), str(p.SampleType().TypeStrindex()), str(p.SampleType().UnitStrindex()))
			if p.Period() != 0 {
				fmt.Fprintf(&head, " every %d %s/%s", p.Period(), str(p.PeriodType().TypeStrindex()), str(p.PeriodType().UnitStrindex()))
			}
			fmt.Fprintf(&head, " %s +%s\n", p.Time().AsTime().Format(time.RFC3339), time.Duration(p.DurationNano()))
			var samples []string
			for _, s := range p.Samples().All() {
				var sample strings.Builder
				fmt.Fprintf(&sample, "    %v %s", s.Values().AsRaw(), attributes(s.AttributeIndices()))
				if s.LinkIndex() != 0 {
					l := dict.LinkTable().At(int(s.LinkIndex()))
					fmt.Fprintf(&sample, " %s/%s", l.TraceID(), l.SpanID())
				}
				for _, i := range dict.StackTable().At(int(s.StackIndex())).LocationIndices().AsRaw() {
					fmt.Fprintf(&sample, "\n      %s", location(dict.LocationTable().At(int(i))))
				}
				samples = append(samples, sample.String()+"\n")
			}
			slices.Sort(samples)
			scopes = append(scopes, head.String()+strings.Join(samples, ""))
		}
		slices.Sort(scopes)
		resources = append(resources, text.String()+strings.Join(scopes, ""))
	}
	slices.Sort(resources)
	return strings.Join(resources, "")
}

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// batchOf returns a batch with the collector's current period, which lasts 10 s.
func batchOf(c *sampleCollector, n *names, unknown UnknownFrames) *batch {
	p := c.rotate()
	p.start, p.end = begin, begin.Add(10*time.Second)
	b := newBatch(p, 100, n, unknown)
	for _, s := range p.processes {
		b.add(s, attribution.Attributes{"service.name": s.process.Name()})
	}
	return b
}

func TestBatch(t *testing.T) {
	libc := mappingOf("libc.so.6", 1)
	var stack libpf.Frames
	stack.Append(&libpf.Frame{Type: libpf.KernelFrame, FunctionName: libpf.Intern("vfs_read"), AddressOrLineno: 0x99})
	stack.Append(&libpf.Frame{Type: libpf.NativeFrame, AddressOrLineno: 0x1234, Mapping: libc})
	stack.Append(&libpf.Frame{Type: libpf.NativeFrame, AddressOrLineno: 0x2345, Mapping: libc})
	stack.Append(&libpf.Frame{
		Type: libpf.PythonFrame, FunctionName: libpf.Intern("main"), SourceFile: libpf.Intern("/app.py"), SourceLine: 12, SourceColumn: 3, AddressOrLineno: 12,
	})
	inGo := libpf.NewFrameMapping(libpf.FrameMappingData{File: libpf.NewFrameMappingFile(libpf.FrameMappingFileData{
		FileID: libpf.NewFileID(1, 2), FileName: libpf.Intern("cart"), GoBuildID: "go1",
	})})
	var golang libpf.Frames
	golang.Append(&libpf.Frame{Type: libpf.GoFrame, FunctionName: libpf.Intern("main.main"), Mapping: inGo, AddressOrLineno: 0x10})
	golang.Append(&libpf.Frame{Type: libpf.GoFrame, Mapping: inGo, AddressOrLineno: 0x20}) // without a name
	golang.Append(&libpf.Frame{Type: libpf.PythonFrame})
	golang.Append(&libpf.Frame{Type: libpf.PythonFrame, SourceFile: libpf.Intern("/b.py")})

	c := collectorOnly()
	for range 2 {
		report(t, c, stack, metaOf(7, "/usr/bin/python3"))
	}
	report(t, c, golang, metaOf(8, "/cart"))
	off := metaOf(8, "/cart")
	off.ProfileType, off.Value = offCPU, 2500
	off.SpanID[7], off.TraceID[15] = 5, 6
	require.NoError(t, c.ReportTraceEvent(&libpf.Trace{
		Frames: golang[:1], CustomLabels: map[libpf.String]libpf.String{libpf.Intern("user"): libpf.Intern("1"), libpf.Intern("path"): libpf.NullString},
	}, off))
	off.TraceID[15] = 0 // a span without a trace makes no link
	report(t, c, golang[:1], off)
	report(t, c, nil, metaOf(9, "/none"))

	n := newNames()
	n.of[address{file: libpf.NewFileID(0, 1), addr: 0x1234}] = "read"
	module := batchOf(c, n, UnknownModule)
	const want = `process.pid=7 process.executable.path=/usr/bin/python3 process.executable.name=python3 service.name=python3
  map[pyroscope.profile.name:process_cpu] samples/count every 10000000 cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [2] {}
      0x99{profile.frame.type=kernel} vfs_read
      0x1234{profile.frame.type=native} read in libc.so.6 0x1000-0x9000@0x400{process.executable.build_id.gnu=gnu1 process.executable.build_id.htlhash=00000000000000000000000000000001}
      0x2345{profile.frame.type=native} [libc.so.6] in libc.so.6 0x1000-0x9000@0x400{process.executable.build_id.gnu=gnu1 process.executable.build_id.htlhash=00000000000000000000000000000001}
      0xc{profile.frame.type=cpython} main /app.py:12:3
process.pid=8 process.executable.path=/cart process.executable.name=cart service.name=cart
  map[pyroscope.profile.name:off_cpu] off_cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [2500] {process.context.label.path= process.context.label.user=1} 00000000000000000000000000000006/0000000000000005
      0x10{profile.frame.type=go} main.main in cart 0x0-0x0@0x0{process.executable.build_id.go=go1 process.executable.build_id.htlhash=00000000000000010000000000000002}
    [2500] {}
      0x10{profile.frame.type=go} main.main in cart 0x0-0x0@0x0{process.executable.build_id.go=go1 process.executable.build_id.htlhash=00000000000000010000000000000002}
  map[pyroscope.profile.name:process_cpu] samples/count every 10000000 cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [1] {}
      0x10{profile.frame.type=go} main.main in cart 0x0-0x0@0x0{process.executable.build_id.go=go1 process.executable.build_id.htlhash=00000000000000010000000000000002}
      0x20{profile.frame.type=go} [cart] in cart 0x0-0x0@0x0{process.executable.build_id.go=go1 process.executable.build_id.htlhash=00000000000000010000000000000002}
      0x0{profile.frame.type=cpython} [cpython]
      0x0{profile.frame.type=cpython} [cpython] /b.py:0:0
process.pid=9 process.executable.path=/none process.executable.name=none service.name=none
  map[pyroscope.profile.name:process_cpu] samples/count every 10000000 cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [1] {}
`
	assert.Equal(t, want, dump(t, module.out))
	assert.Equal(t, 4, module.unnamed)
	assert.Equal(t, 5, module.out.SampleCount())
	dict := module.out.Dictionary()
	assert.Equal(t, 3, dict.MappingTable().Len())
	assert.Equal(t, 9, dict.LocationTable().Len())
	assert.Equal(t, 4, dict.StackTable().Len())
	assert.Equal(t, 2, dict.LinkTable().Len())

	c = collectorOnly()
	report(t, c, golang, metaOf(8, "/cart"))
	none := batchOf(c, n, UnknownNone)
	const wantNone = `process.pid=8 process.executable.path=/cart process.executable.name=cart service.name=cart
  map[pyroscope.profile.name:process_cpu] samples/count every 10000000 cpu/nanoseconds 2026-01-02T03:04:05Z +10s
    [1] {}
      0x10{profile.frame.type=go} main.main in cart 0x0-0x0@0x0{process.executable.build_id.go=go1 process.executable.build_id.htlhash=00000000000000010000000000000002}
      0x20{profile.frame.type=go} in cart 0x0-0x0@0x0{process.executable.build_id.go=go1 process.executable.build_id.htlhash=00000000000000010000000000000002}
      0x0{profile.frame.type=cpython}
      0x0{profile.frame.type=cpython}  /b.py:0:0
`
	assert.Equal(t, wantNone, dump(t, none.out))
	assert.Equal(t, 3, none.unnamed)
}

// Elements that processes share are in the tables once.
func TestSharedDictionary(t *testing.T) {
	c := collectorOnly()
	for pid := range 50 {
		report(t, c, frames("a", "b", "1", "main"), metaOf(pid+1, "/x"))
		report(t, c, frames("b", "1", "main"), metaOf(pid+1, "/x"))
	}
	b := batchOf(c, newNames(), UnknownModule)
	dict := b.out.Dictionary()
	assert.Equal(t, 100, b.out.SampleCount())
	assert.Equal(t, 50, b.out.ResourceProfiles().Len())
	assert.Equal(t, 1+4, dict.LocationTable().Len())
	assert.Equal(t, 1+4, dict.FunctionTable().Len())
	assert.Equal(t, 1+1, dict.MappingTable().Len())
	assert.Equal(t, 1+2, dict.StackTable().Len())
	assert.Equal(t, 1, b.unnamed)
}

// Names and paths may be arbitrary bytes. A message with invalid UTF-8 would be refused.
func TestValidUTF8(t *testing.T) {
	const invalid = "a\xff\xfeb"
	c := collectorOnly()
	var stack libpf.Frames
	stack.Append(&libpf.Frame{
		Type: libpf.PythonFrame, FunctionName: libpf.Intern(invalid), SourceFile: libpf.Intern(invalid),
		Mapping: libpf.NewFrameMapping(libpf.FrameMappingData{File: libpf.NewFrameMappingFile(libpf.FrameMappingFileData{
			FileName: libpf.Intern(invalid), GoBuildID: invalid,
		})}),
	})
	stack.Append(&libpf.Frame{Type: libpf.PythonFrame, Mapping: stack[0].Value().Mapping})
	meta := metaOf(7, "/"+invalid)
	meta.EnvVars = map[libpf.String]libpf.String{libpf.Intern("OTEL_SERVICE_NAME"): libpf.Intern(invalid)}
	report(t, c, stack, meta)
	meta = metaOf(8, "")
	meta.Comm = libpf.NewCommFromString(invalid)
	report(t, c, stack, meta)
	b := batchOf(c, newNames(), UnknownModule)
	for _, s := range b.out.Dictionary().StringTable().AsRaw() {
		assert.True(t, utf8.ValidString(s), "%q", s)
	}
	for _, a := range b.out.Dictionary().AttributeTable().All() {
		assert.True(t, utf8.ValidString(a.Value().AsString()), "%q", a.Value().AsString())
	}
	for _, rp := range b.out.ResourceProfiles().All() {
		for key, value := range rp.Resource().Attributes().All() {
			assert.True(t, utf8.ValidString(value.AsString()), "%s=%q", key, value.AsString())
		}
	}
}
