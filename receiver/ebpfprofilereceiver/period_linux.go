//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// maxStacks is how many different stacks a period has at most: it then ends early,
// and samples of yet others are lost if the one before it has not been sent. A
// stack takes about half a KiB. Stacks differ also by span and labels, which may
// have a new value every time.
const maxStacks = 64 << 10

// period is what was sampled between two times.
type period struct {
	start, end time.Time
	processes  map[processKey]*sampled
	stacks     int // of all processes
	lost       int // samples for which there was no room
}

// processKey tells processes apart. A number alone may be used again.
type processKey struct {
	pid libpf.PID
	// Both are empty for a thread of the kernel, and for a process that was not
	// yet or not any more there when the profiler looked.
	executable  libpf.String
	containerID libpf.String
}

func (k processKey) unseen() bool {
	return k.executable == libpf.NullString && k.containerID == libpf.NullString
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

func newPeriod() *period {
	return &period{start: time.Now(), processes: map[processKey]*sampled{}}
}

// add counts a sample.
func (p *period) add(at stackKey, frames libpf.Frames, value int64, meta *samples.TraceEventMeta) {
	key := processKey{pid: meta.PID, executable: meta.ExecutablePath, containerID: meta.ContainerID}
	s := p.processes[key]
	if s != nil && s.count(at, frames, value) {
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
	s.stacks[at] = &stack{frames: frames, value: value, next: s.stacks[at]}
	p.stacks++
}

func newSampled(process attribution.Process) *sampled {
	return &sampled{process: process, stacks: map[stackKey]*stack{}}
}

// count adds value to a stack, if it is there.
func (s *sampled) count(at stackKey, frames libpf.Frames, value int64) bool {
	for st := s.stacks[at]; st != nil; st = st.next {
		if slices.Equal(st.frames, frames) {
			st.value += value
			return true
		}
	}
	return false
}

// len is the number of stacks.
func (s *sampled) len() int {
	n := 0
	for _, st := range s.stacks {
		for ; st != nil; st = st.next {
			n++
		}
	}
	return n
}

// settle gives the samples of processes that the profiler had not seen to whom
// they belong: to the process of the same number, if it has been seen at another
// time of the period (one of them, if it has started another program since), or
// to the kernel, if only it was at work.
func (p *period) settle() {
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

// kernelPID stands for all threads of the kernel: the number of kthreadd, which
// is the parent of all others.
const kernelPID = 2

// kernelOnly tells whether no frame of a program was seen, but some of the kernel
// in every stack.
func (s *sampled) kernelOnly() bool {
	for _, st := range s.stacks {
		for ; st != nil; st = st.next {
			if len(st.frames) == 0 {
				return false
			}
			for _, f := range st.frames {
				if f.Value().Type.Interpreter() != libpf.Kernel {
					return false
				}
			}
		}
	}
	return true
}

// merge takes over the stacks of another process, which is not used any more.
func (s *sampled) merge(other *sampled) {
	for at, st := range other.stacks {
		for st != nil {
			next := st.next
			if !s.count(at, st.frames, st.value) {
				st.next = s.stacks[at]
				s.stacks[at] = st
			}
			st = next
		}
	}
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
// value in turn, each with a NUL after it, in the order of their names. The
// profiler reads them up to a NUL.
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

// processOf is what a sample tells of its process.
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

// validUTF8 makes a text one that a protobuf message may have. Names and paths
// are what programs have made them.
func validUTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
