//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// sampleCollector is the profiler's reporter: it counts samples by process and stack,
// and hands them on once in every interval.
type sampleCollector struct {
	interval time.Duration
	flush    func(context.Context, *period)
	// stopped is called when the profiler stops the collector.
	stopped func()

	mu     sync.Mutex
	period *period

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// period is what was sampled between two times.
type period struct {
	start, end time.Time
	processes  map[processKey]*sampled
}

// processKey tells processes apart. A number alone may be used again.
type processKey struct {
	pid         libpf.PID
	executable  libpf.String
	containerID libpf.String
}

// sampled is what was sampled of one process.
type sampled struct {
	process attribution.Process
	stacks  map[stackKey]*stack
}

// stackKey tells stacks apart, but for those with equal hashes. The types are the
// profiler's own, one for each way of sampling.
type stackKey struct {
	hash   uint64 // of the frames
	typ    *samples.TypeMetadata
	span   libpf.APMSpanID
	trace  libpf.APMTraceID
	labels string // see labelsOf
}

// stack is a stack, the leaf first, and the sum of its samples' values, or their
// number where the type has no values.
type stack struct {
	frames libpf.Frames
	value  int64
	next   *stack // another with the same key
}

var _ reporter.Reporter = (*sampleCollector)(nil)

func newPeriod() *period {
	return &period{start: time.Now(), processes: map[processKey]*sampled{}}
}

// Start implements reporter.Reporter.
func (c *sampleCollector) Start(ctx context.Context) error {
	c.mu.Lock()
	c.period = newPeriod()
	c.mu.Unlock()
	// Not cancelled with ctx: what was sampled last is still to be sent.
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.done.Go(func() { c.run(ctx) })
	return nil
}

func (c *sampleCollector) run(ctx context.Context) {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.flush(ctx, c.take())
		case <-ctx.Done():
			c.flush(context.WithoutCancel(ctx), c.take())
			return
		}
	}
}

// Stop implements reporter.Reporter: what was sampled is sent.
func (c *sampleCollector) Stop() {
	if c.cancel != nil {
		c.cancel()
	}
	c.done.Wait()
	c.stopped()
}

// take ends the period and begins a new one.
func (c *sampleCollector) take() *period {
	next := newPeriod()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.period
	c.period, p.end = next, next.start
	return p
}

// kernelPID stands for all threads of the kernel: the number of kthreadd, which
// is the parent of all others.
const kernelPID = 2

// ReportTraceEvent implements reporter.TraceReporter. The profiler calls it for
// every sample.
func (c *sampleCollector) ReportTraceEvent(trace *libpf.Trace, meta *samples.TraceEventMeta) error {
	pid := meta.PID
	if meta.ExecutablePath == libpf.NullString && kernelOnly(trace) {
		pid = kernelPID
	}
	key := processKey{pid: pid, executable: meta.ExecutablePath, containerID: meta.ContainerID}
	value := int64(1)
	if meta.ProfileType.ReportValues {
		value = meta.Value
	}
	at := stackKey{
		hash: hash(trace.Frames), typ: meta.ProfileType, span: meta.SpanID, trace: meta.TraceID, labels: labelsOf(trace),
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.period.processes[key]
	if p == nil {
		p = &sampled{process: processOf(key, meta), stacks: map[stackKey]*stack{}}
		c.period.processes[key] = p
	}
	p.add(at, trace.Frames, value)
	return nil
}

func (p *sampled) add(at stackKey, frames libpf.Frames, value int64) {
	for s := p.stacks[at]; s != nil; s = s.next {
		if slices.Equal(s.frames, frames) {
			s.value += value
			return
		}
	}
	p.stacks[at] = &stack{frames: frames, value: value, next: p.stacks[at]}
}

var seed = maphash.MakeSeed()

// hash is over the frames themselves. The profiler's own hash of a trace is over
// addresses and line numbers only: two functions of an interpreter may share it.
func hash(frames libpf.Frames) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, f := range frames {
		maphash.WriteComparable(&h, f)
	}
	return h.Sum64()
}

// labelsOf writes a trace's own labels, as those of pprof.Do in Go, as name and
// value in turn, each with a NUL after it, in the order of their names.
func labelsOf(trace *libpf.Trace) string {
	if len(trace.CustomLabels) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(trace.CustomLabels))
	for name, value := range trace.CustomLabels {
		pairs = append(pairs, name.String()+"\x00"+value.String()+"\x00")
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "")
}

func kernelOnly(trace *libpf.Trace) bool {
	for _, f := range trace.Frames {
		if f.Value().Type.Interpreter() != libpf.Kernel {
			return false
		}
	}
	return true
}

// processOf is what a sample tells of its process.
func processOf(key processKey, meta *samples.TraceEventMeta) attribution.Process {
	p := attribution.Process{
		PID:         int(key.pid),
		Executable:  key.executable.String(),
		ContainerID: key.containerID.String(),
		ServiceName: meta.APMServiceName,
	}
	if p.ServiceName == "" {
		p.ServiceName = attribution.ServiceFrom(
			meta.EnvVars[libpf.Intern(attribution.EnvServiceName)].String(),
			meta.EnvVars[libpf.Intern(attribution.EnvResourceAttributes)].String())
	}
	switch {
	case key.pid == kernelPID:
		p.Thread = "kernel"
	case p.Executable == "": // it ended before it could be looked at
		p.Thread = meta.Comm.String()
	}
	return p
}
