//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// maxStacks is the number of distinct stacks at which a period ends early. If the
// previous period has not been sent by then, samples of further stacks are lost. A
// stack takes about half a KiB. Stacks also differ by span and labels, which may be
// different for every sample.
const maxStacks = 64 << 10

// period holds the samples between two times.
type period struct {
	start, end time.Time
	processes  map[processKey]*sampled
	stacks     int // of all processes
	lost       int // samples beyond maxStacks
}

// processKey identifies a process. The PID alone may be reused.
type processKey struct {
	pid libpf.PID
	// Both are empty for a kernel thread, and for a process that had not started or had
	// already ended when the profiler inspected it.
	executable  libpf.String
	containerID libpf.String
}

// unseen reports whether the profiler has not inspected the process.
func (k processKey) unseen() bool {
	return k.executable == libpf.NullString && k.containerID == libpf.NullString
}

// sampled holds the samples of one process.
type sampled struct {
	process attribution.Process
	stacks  map[stackKey]*stack
}

// stackKey identifies a stack, except for collisions of the hash. typ is one of the
// profiler's own values, one for each kind of sampling.
type stackKey struct {
	hash   uint64 // of the frames
	typ    *samples.TypeMetadata
	span   libpf.APMSpanID
	trace  libpf.APMTraceID
	labels string // see labelsOf
}

// stack is a stack with the sum of its samples' values, or their number if the type
// has no values.
type stack struct {
	frames libpf.Frames // leaf first
	value  int64
	next   *stack // another stack with the same key
}

func newPeriod() *period {
	return &period{start: time.Now(), processes: map[processKey]*sampled{}}
}

// add counts a sample.
func (p *period) add(stackKey stackKey, frames libpf.Frames, value int64, meta *samples.TraceEventMeta) {
	key := processKey{pid: meta.PID, executable: meta.ExecutablePath, containerID: meta.ContainerID}
	s := p.processes[key]
	if s != nil && s.count(stackKey, frames, value) {
		return
	}
	if p.stacks >= maxStacks {
		p.lost++
		return
	}
	if s == nil {
		s = newSampled(processOf(key, meta))
		p.processes[key] = s
	}
	s.stacks[stackKey] = &stack{frames: frames, value: value, next: s.stacks[stackKey]}
	p.stacks++
}

func newSampled(process attribution.Process) *sampled {
	return &sampled{process: process, stacks: map[stackKey]*stack{}}
}

// all iterates over the stacks.
func (s *sampled) all() iter.Seq[*stack] {
	return func(yield func(*stack) bool) {
		for _, st := range s.stacks {
			for ; st != nil; st = st.next {
				if !yield(st) {
					return
				}
			}
		}
	}
}

// count adds value to a stack and reports whether the stack was known.
func (s *sampled) count(key stackKey, frames libpf.Frames, value int64) bool {
	for st := s.stacks[key]; st != nil; st = st.next {
		if slices.Equal(st.frames, frames) {
			st.value += value
			return true
		}
	}
	return false
}

// len returns the number of stacks.
func (s *sampled) len() int {
	n := 0
	for range s.all() {
		n++
	}
	return n
}

// assignUnseen moves the samples of processes that the profiler had not inspected: to
// the process with the same PID, if that was inspected at another time of the period
// (to any of them, if it has executed another program since), or to the kernel, if all
// frames are the kernel's. Other unseen processes stay.
func (p *period) assignUnseen() {
	seen := map[libpf.PID]*sampled{}
	for key, s := range p.processes {
		if !key.unseen() {
			seen[key.pid] = s
		}
	}
	kernel := newSampled(attribution.Process{PID: kernelPID, Thread: "kernel"})
	for key, s := range p.processes {
		if !key.unseen() {
			continue
		}
		to := seen[key.pid]
		if to == nil && s.kernelOnly() {
			to = kernel
		}
		if to != nil {
			to.merge(s)
			delete(p.processes, key)
		}
	}
	if len(kernel.stacks) > 0 {
		p.processes[processKey{pid: kernelPID}] = kernel
	}
}

// kernelPID stands for all kernel threads. It is the PID of kthreadd, their parent.
const kernelPID = 2

// kernelOnly reports whether every stack has frames and all are the kernel's.
func (s *sampled) kernelOnly() bool {
	for st := range s.all() {
		if len(st.frames) == 0 {
			return false
		}
		for _, f := range st.frames {
			if f.Value().Type.Interpreter() != libpf.Kernel {
				return false
			}
		}
	}
	return true
}

// merge takes over the stacks of another process, which must not be used afterwards.
func (s *sampled) merge(other *sampled) {
	for key, st := range other.stacks {
		for st != nil {
			next := st.next
			if !s.count(key, st.frames, st.value) {
				st.next = s.stacks[key]
				s.stacks[key] = st
			}
			st = next
		}
	}
}

var seed = maphash.MakeSeed()

// hash returns a hash of the frames. The profiler's own hash of a trace covers only
// addresses and line numbers, which two functions of an interpreter may share.
func hash(frames libpf.Frames) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for _, f := range frames {
		maphash.WriteComparable(&h, f)
	}
	return h.Sum64()
}

// labelsOf encodes the labels that a program has set, as with pprof.Do in Go: names and
// values in turn, sorted by name, each terminated by a NUL. They contain no NUL
// themselves, because the profiler reads them up to one.
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

// processOf returns what a sample tells about its process.
func processOf(key processKey, meta *samples.TraceEventMeta) attribution.Process {
	p := attribution.Process{
		PID:         int(key.pid),
		Executable:  attribution.ExecutablePath(key.executable.String()),
		ContainerID: key.containerID.String(),
		ServiceName: validUTF8(meta.APMServiceName),
	}
	if p.ServiceName == "" {
		p.ServiceName = attribution.ServiceFrom(
			meta.EnvVars[libpf.Intern(attribution.EnvServiceName)].String(),
			meta.EnvVars[libpf.Intern(attribution.EnvResourceAttributes)].String())
	}
	if p.Executable == "" {
		p.Thread = validUTF8(meta.Comm.String())
	}
	return p
}

// validUTF8 replaces invalid bytes, which protobuf does not allow. Names and paths may
// be arbitrary bytes.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
