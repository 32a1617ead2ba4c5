//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"maps"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// The profiler's types of samples.
var (
	onCPU  = &samples.TypeMetadata{PeriodType: "cpu", PeriodUnit: "nanoseconds", SampleType: "samples", SampleUnit: "count"}
	offCPU = &samples.TypeMetadata{SampleType: "off_cpu", SampleUnit: "nanoseconds", ReportValues: true}
)

// frames returns a frame for each function, leaf first: a kernel frame if the name begins
// with "k:", a native frame without a name if it is a number, or else a Python frame.
func frames(functions ...string) libpf.Frames {
	var out libpf.Frames
	for _, f := range functions {
		frame := libpf.Frame{Type: libpf.PythonFrame, FunctionName: libpf.Intern(f), AddressOrLineno: 7}
		if n, err := strconv.Atoi(f); err == nil {
			frame = libpf.Frame{Type: libpf.NativeFrame, AddressOrLineno: libpf.AddressOrLineno(n), Mapping: mappingOf("libc.so.6", 1)}
		} else if f[:min(2, len(f))] == "k:" {
			frame.Type = libpf.KernelFrame
		}
		out.Append(&frame)
	}
	return out
}

// mappingOf returns a mapping of a file.
func mappingOf(fileName string, id uint64) libpf.FrameMapping {
	return libpf.NewFrameMapping(libpf.FrameMappingData{
		Start: 0x1000, End: 0x9000, FileOffset: 0x400,
		File: libpf.NewFrameMappingFile(libpf.FrameMappingFileData{
			FileID: libpf.NewFileID(0, id), FileName: libpf.Intern(fileName), GnuBuildID: "gnu" + strconv.FormatUint(id, 10),
		}),
	})
}

// metaOf returns the metadata of a sample of a process. exe may be empty.
func metaOf(pid int, exe string) *samples.TraceEventMeta {
	return &samples.TraceEventMeta{
		PID: libpf.PID(pid), ExecutablePath: libpf.Intern(exe), ProfileType: onCPU, Comm: libpf.NewCommFromString("comm"),
	}
}

func report(t testing.TB, c *sampleCollector, stack libpf.Frames, meta *samples.TraceEventMeta) {
	t.Helper()
	require.NoError(t, c.ReportTraceEvent(&libpf.Trace{Frames: stack}, meta))
}

// counted returns the values of a process' stacks by their leaves.
func counted(s *sampled) map[string][]int64 {
	out := map[string][]int64{}
	for st := range s.all() {
		leaf := ""
		if len(st.frames) > 0 {
			leaf = st.frames[0].Value().FunctionName.String()
		}
		out[leaf] = append(out[leaf], st.value)
	}
	for _, values := range out {
		slices.Sort(values)
	}
	return out
}

func collectorOnly() *sampleCollector { return newSampleCollector(0, nil, nil) }

func TestStacks(t *testing.T) {
	c := collectorOnly()
	report(t, c, frames("a", "main"), metaOf(7, "/x"))
	report(t, c, frames("a", "main"), metaOf(7, "/x"))
	report(t, c, frames("b", "main"), metaOf(7, "/x")) // on the same line
	report(t, c, frames("a", "main"), metaOf(8, "/x"))
	other := metaOf(7, "/x")
	other.ContainerID = libpf.Intern("cc")
	report(t, c, frames("a", "main"), other)
	report(t, c, frames("a", "main"), metaOf(7, "/y")) // the PID is reused

	off := metaOf(7, "/x")
	off.ProfileType = offCPU
	for _, ns := range []int64{1500, 500} {
		off.Value = ns
		report(t, c, frames("a", "main"), off)
	}
	p := c.rotate()
	assert.Len(t, p.processes, 4)
	assert.Equal(t, 6, p.stacks)
	assert.Zero(t, p.lost)
	s := p.processes[processKey{pid: 7, executable: libpf.Intern("/x")}]
	assert.Equal(t, map[string][]int64{"a": {2, 2000}, "b": {1}}, counted(s))
	assert.Equal(t, 3, s.len())
	assert.Zero(t, c.rotate().stacks, "a period begins empty")
}

// Stacks also differ by span and labels.
func TestSpansAndLabels(t *testing.T) {
	c := collectorOnly()
	f := func(span byte, labels map[string]string) {
		t.Helper()
		meta := metaOf(7, "/x")
		meta.SpanID[7], meta.TraceID[15] = span, span
		trace := &libpf.Trace{Frames: frames("a")}
		for name, value := range labels {
			if trace.CustomLabels == nil {
				trace.CustomLabels = map[libpf.String]libpf.String{}
			}
			trace.CustomLabels[libpf.Intern(name)] = libpf.Intern(value)
		}
		require.NoError(t, c.ReportTraceEvent(trace, meta))
	}
	for range 3 {
		f(0, nil)
		f(1, nil)
		f(1, map[string]string{"user": "1", "path": "/"})
		f(1, map[string]string{"user": "1"})
		f(1, map[string]string{"user": ""})
	}
	for _, s := range c.rotate().processes {
		assert.Equal(t, map[string][]int64{"a": {3, 3, 3, 3, 3}}, counted(s))
		var labels []string
		for key := range s.stacks {
			labels = append(labels, key.labels)
		}
		slices.Sort(labels)
		assert.Equal(t, []string{"", "", "path\x00/\x00user\x001\x00", "user\x00\x00", "user\x001\x00"}, labels)
	}
}

// Different stacks with the same key are kept apart.
func TestEqualHashes(t *testing.T) {
	p := newPeriod()
	for range 2 {
		for _, f := range []string{"a", "b", "c"} {
			p.add(stackKey{typ: onCPU}, frames(f), 1, metaOf(7, "/x"))
		}
	}
	assert.Equal(t, 3, p.stacks)
	for _, s := range p.processes {
		assert.Equal(t, map[string][]int64{"a": {2}, "b": {2}, "c": {2}}, counted(s))
		assert.Equal(t, 3, s.len())
	}
	// Also when they are merged.
	p.add(stackKey{typ: onCPU}, frames("b"), 1, metaOf(7, ""))
	p.add(stackKey{typ: onCPU}, frames("d"), 1, metaOf(7, ""))
	p.add(stackKey{typ: onCPU}, frames("e"), 1, metaOf(7, ""))
	p.assignUnseen()
	for _, s := range p.processes {
		assert.Equal(t, map[string][]int64{"a": {2}, "b": {3}, "c": {2}, "d": {1}, "e": {1}}, counted(s))
	}
}

func TestSampleWithoutType(t *testing.T) {
	c := collectorOnly()
	meta := metaOf(7, "/x")
	meta.ProfileType = nil
	require.ErrorIs(t, c.ReportTraceEvent(&libpf.Trace{}, meta), errNoType)
	assert.Empty(t, c.rotate().processes)
}

func TestAssignUnseen(t *testing.T) {
	type sample struct {
		pid   int
		exe   string
		stack libpf.Frames
	}
	type process struct {
		pid    int
		name   string
		stacks map[string][]int64
	}
	f := func(samples []sample, want ...process) {
		t.Helper()
		c := collectorOnly()
		for _, s := range samples {
			report(t, c, s.stack, metaOf(s.pid, s.exe))
		}
		p := c.rotate()
		p.assignUnseen()
		var got []process
		for key, s := range p.processes {
			assert.EqualValues(t, key.pid, s.process.PID)
			got = append(got, process{s.process.PID, s.process.Name(), counted(s)})
		}
		assert.ElementsMatch(t, want, got)
	}
	kernel, user := frames("k:idle", "k:start"), frames("k:read", "main")
	f(nil)
	// Kernel threads are one process, with or without kthreadd.
	f([]sample{{9, "", kernel}, {10, "", kernel}, {11, "", frames("k:other")}}, process{2, "kernel", map[string][]int64{"k:idle": {2}, "k:other": {1}}})
	f([]sample{{2, "", kernel}, {10, "", kernel}}, process{2, "kernel", map[string][]int64{"k:idle": {2}}})
	f([]sample{{2, "", kernel}}, process{2, "kernel", map[string][]int64{"k:idle": {1}}})
	// A process that runs in the kernel is not a kernel thread.
	f([]sample{{9, "/x", kernel}}, process{9, "x", map[string][]int64{"k:idle": {1}}})
	// Processes that ended before the profiler inspected them.
	f([]sample{{9, "", user}, {9, "", kernel}}, process{9, "comm", map[string][]int64{"k:read": {1}, "k:idle": {1}}})
	f([]sample{{9, "", nil}}, process{9, "comm", map[string][]int64{"": {1}}})
	// A process that was inspected later.
	f([]sample{{9, "", user}, {9, "", kernel}, {9, "/x", user}, {9, "/x", frames("main")}},
		process{9, "x", map[string][]int64{"k:read": {2}, "k:idle": {1}, "main": {1}}})
	f([]sample{{9, "", user}, {10, "/x", user}}, process{9, "comm", map[string][]int64{"k:read": {1}}}, process{10, "x", map[string][]int64{"k:read": {1}}})
}

// A process in a container is not a kernel thread.
func TestUnreadableExecutable(t *testing.T) {
	c := collectorOnly()
	meta := metaOf(9, "")
	meta.ContainerID = libpf.Intern("cc")
	report(t, c, frames("k:read"), meta)
	p := c.rotate()
	p.assignUnseen()
	require.Len(t, p.processes, 1)
	for _, s := range p.processes {
		assert.Equal(t, attribution.Process{PID: 9, ContainerID: "cc", Thread: "comm"}, s.process)
	}
}

func TestProcessOf(t *testing.T) {
	f := func(change func(*samples.TraceEventMeta), want attribution.Process) {
		t.Helper()
		meta := metaOf(7, "/usr/bin/cart")
		meta.EnvVars = map[libpf.String]libpf.String{}
		change(meta)
		p := newPeriod()
		p.add(stackKey{typ: onCPU}, nil, 1, meta)
		for _, s := range p.processes {
			assert.Equal(t, want, s.process)
		}
	}
	env := func(name, value string) func(*samples.TraceEventMeta) {
		return func(m *samples.TraceEventMeta) { m.EnvVars[libpf.Intern(name)] = libpf.Intern(value) }
	}
	f(func(*samples.TraceEventMeta) {}, attribution.Process{PID: 7, Executable: "/usr/bin/cart"})
	f(env("OTEL_SERVICE_NAME", "shop"), attribution.Process{PID: 7, Executable: "/usr/bin/cart", ServiceName: "shop"})
	f(env("OTEL_RESOURCE_ATTRIBUTES", "a=b,service.name=my%20shop"), attribution.Process{PID: 7, Executable: "/usr/bin/cart", ServiceName: "my shop"})
	f(func(m *samples.TraceEventMeta) {
		env("OTEL_SERVICE_NAME", "shop")(m)
		m.APMServiceName = "by-agent"
	}, attribution.Process{PID: 7, Executable: "/usr/bin/cart", ServiceName: "by-agent"})
	f(func(m *samples.TraceEventMeta) { m.ExecutablePath = libpf.Intern("/usr/bin/cart (deleted)") },
		attribution.Process{PID: 7, Executable: "/usr/bin/cart"})
	f(func(m *samples.TraceEventMeta) {
		m.ExecutablePath, m.Comm = libpf.NullString, libpf.NewCommFromString("c\xffmm")
	}, attribution.Process{PID: 7, Thread: "c\uFFFDmm"})
	f(func(m *samples.TraceEventMeta) { m.APMServiceName, m.ContainerID = "\xff", libpf.Intern("cc") },
		attribution.Process{PID: 7, Executable: "/usr/bin/cart", ContainerID: "cc", ServiceName: "\uFFFD"})
}

// A full period accepts further samples of its stacks, but no further stacks.
func TestFullPeriod(t *testing.T) {
	c := collectorOnly()
	meta := metaOf(7, "/x")
	for n := range maxStacks + 5 {
		report(t, c, frames(strconv.Itoa(n)), meta)
	}
	report(t, c, frames("0"), meta)
	report(t, c, frames("0"), metaOf(8, "/new"))
	assert.Len(t, c.full, 1)
	p := c.rotate()
	assert.Empty(t, c.full)
	assert.Equal(t, maxStacks, p.stacks)
	assert.Equal(t, 6, p.lost)
	assert.Len(t, p.processes, 1, "one without stacks takes no room")
	total := int64(0)
	for _, s := range p.processes {
		assert.Equal(t, maxStacks, s.len())
		for values := range maps.Values(counted(s)) {
			for _, v := range values {
				total += v
			}
		}
	}
	assert.EqualValues(t, maxStacks+1, total)
	report(t, c, frames("0"), meta)
	assert.Empty(t, c.full)
	assert.Zero(t, c.rotate().lost)
}
