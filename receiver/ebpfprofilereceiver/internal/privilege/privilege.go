// Package privilege finds out what keeps a process from profiling its host with eBPF,
// and how to remedy it.
package privilege

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Host reads the state of a host.
type Host struct {
	// Proc and Sys are the mount points of procfs and sysfs.
	Proc, Sys string
}

// Problem is one missing privilege or kernel feature.
type Problem struct {
	// What is wrong and Remedy is what to do about it.
	What, Remedy string
	// Fatal reports whether nothing can be profiled. Otherwise some processes or names
	// are missing.
	Fatal bool
	// Memlock reports whether this is the limit of locked memory. Recent kernels do not
	// count the memory of eBPF programs against it, so it is a problem only if the
	// profiler fails with an error about the limit.
	Memlock bool
}

// String returns what is wrong and the remedy.
func (p Problem) String() string { return p.What + ": " + p.Remedy }

// Numbers of capabilities, from <linux/capability.h>.
const (
	capDACOverride       = 1
	capDACReadSearch     = 2
	capSysPtrace         = 19
	capSysAdmin          = 21
	capSysResource       = 24
	capSyslog            = 34
	capPerfmon           = 38
	capBPF               = 39
	capCheckpointRestore = 40
)

// initPIDNamespace is the host's PID namespace. Its inode is a constant of the kernel
// (PROC_PID_INIT_INO).
const initPIDNamespace = "pid:[4026531836]"

// The oldest kernel with the features that the profiler's eBPF programs use.
const minMajor, minMinor = 5, 10

// Problems returns everything that keeps this process from profiling the host in full.
// State that cannot be read is assumed to be fine.
func (h Host) Problems() []Problem {
	has := h.capabilities()
	var problems []Problem
	if release := h.read(h.Proc, "sys/kernel/osrelease"); tooOld(release) {
		problems = append(problems, Problem{
			What: "Linux " + release + " is too old", Remedy: fmt.Sprintf("use Linux %d.%d or newer", minMajor, minMinor), Fatal: true,
		})
	}
	problems = append(problems, missingCapabilities(has)...)
	if limit := h.memlock(); limit != "" && limit != "unlimited" && !has(capSysResource) {
		problems = append(problems, Problem{
			What:   "RLIMIT_MEMLOCK is " + limit + " bytes and CAP_SYS_RESOURCE, which could raise it, is missing",
			Remedy: "run with `ulimit -l unlimited`, set LimitMEMLOCK=infinity in the systemd unit, or add SYS_RESOURCE to securityContext.capabilities.add in Kubernetes",
			Fatal:  true, Memlock: true,
		})
	}
	return append(problems, h.kernelProblems(has)...)
}

func missingCapabilities(has func(int) bool) []Problem {
	var problems []Problem
	for _, c := range []struct {
		number int
		name   string
		within int // a capability that includes it, or number
		fatal  bool
		needed string
	}{
		{capBPF, "CAP_BPF", capSysAdmin, true, "load eBPF programs"},
		{capPerfmon, "CAP_PERFMON", capSysAdmin, true, "sample all CPUs"},
		{capSyslog, "CAP_SYSLOG", capSyslog, true, "read the addresses of kernel functions"},
		{capSysPtrace, "CAP_SYS_PTRACE", capSysPtrace, false, "see the mappings and the memory of other processes, which have no user frames without it"},
		{capCheckpointRestore, "CAP_CHECKPOINT_RESTORE", capSysAdmin, false, "open the executables of other processes, which have no user frames without it"},
		{capDACReadSearch, "CAP_DAC_READ_SEARCH", capDACOverride, false, "look at the processes of other users, which have no user frames without it"},
	} {
		if has(c.number) || has(c.within) {
			continue
		}
		problems = append(problems, Problem{What: c.name + " is missing", Fatal: c.fatal, Remedy: "it is needed to " + c.needed +
			"; run as root, add AmbientCapabilities=" + c.name + " to the systemd unit, or " + strings.TrimPrefix(c.name, "CAP_") +
			" to securityContext.capabilities.add in Kubernetes"})
	}
	return problems
}

// kernelProblems returns what the kernel's settings and this process' namespaces forbid.
func (h Host) kernelProblems(has func(int) bool) []Problem {
	var problems []Problem
	add := func(fatal bool, what, remedy string) {
		problems = append(problems, Problem{What: what, Remedy: remedy, Fatal: fatal})
	}
	switch h.tracefs() {
	case accessMissing:
		add(true, "tracefs is not mounted at /sys/kernel/tracing",
			"run `mount -t tracefs none /sys/kernel/tracing`, or mount the host's /sys/kernel/tracing into the container")
	case accessForbidden:
		add(true, "/sys/kernel/tracing cannot be read",
			"run as root, or grant CAP_DAC_READ_SEARCH")
	}
	if h.read(h.Proc, "sys/kernel/kptr_restrict") == "2" {
		add(true, "kernel.kptr_restrict is 2, which hides the addresses of kernel functions from everyone",
			"run `sysctl kernel.kptr_restrict=1`")
	}
	if paranoid, err := strconv.Atoi(h.read(h.Proc, "sys/kernel/perf_event_paranoid")); err == nil && paranoid > 2 && !has(capSysAdmin) {
		add(!has(capPerfmon), fmt.Sprintf("kernel.perf_event_paranoid is %d", paranoid),
			"some distributions' kernels want CAP_SYS_ADMIN then; grant it, or run `sysctl kernel.perf_event_paranoid=2`")
	}
	if strings.Contains(h.read(h.Sys, "kernel/security/lockdown"), "[confidentiality]") {
		add(true, "the kernel is locked down for confidentiality, which forbids eBPF programs to read memory",
			"boot with lockdown=integrity or without lockdown")
	}
	if ns, err := os.Readlink(filepath.Join(h.Proc, "self/ns/pid")); err == nil && ns != initPIDNamespace {
		add(true, "this process is not in the host's PID namespace, so it does not see other processes",
			"set hostPID: true in the pod, or run the container with --pid=host")
	}
	return problems
}

// OffCPUProblem returns what off-CPU profiles need in addition, or nil if nothing is
// missing. State that cannot be read is assumed to be fine.
func (h Host) OffCPUProblem() *Problem {
	if h.tracefs() != accessOK {
		return nil // unknown
	}
	for _, path := range []string{
		"kernel/tracing/kprobe_events", "kernel/debug/tracing/kprobe_events", "bus/event_source/devices/kprobe",
	} {
		if _, err := os.Stat(filepath.Join(h.Sys, path)); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return &Problem{
		What:   "the kernel has no kprobes, with which the time off a CPU is measured",
		Remedy: "use a kernel that is built with CONFIG_KPROBE_EVENTS, or remove off_cpu",
	}
}

// read returns the trimmed content of a file, or "" if it cannot be read.
func (h Host) read(root, path string) string {
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// access is the result of an attempt to read something.
type access uint8

const (
	accessOK access = iota
	accessMissing
	accessForbidden
)

// tracefs reports whether tracefs is mounted and readable at one of its usual places.
func (h Host) tracefs() access {
	found := accessMissing
	for _, path := range []string{"kernel/tracing/events", "kernel/debug/tracing/events"} {
		switch _, err := os.Stat(filepath.Join(h.Sys, path)); {
		case err == nil:
			return accessOK
		case errors.Is(err, fs.ErrPermission):
			found = accessForbidden
		}
	}
	return found
}

// capabilities returns a function that reports whether the process has a capability
// in effect. If that cannot be read, it has all.
func (h Host) capabilities() func(int) bool {
	for line := range strings.Lines(h.read(h.Proc, "self/status")) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64); err == nil {
				return func(c int) bool { return set&(1<<c) != 0 }
			}
		}
	}
	return func(int) bool { return true }
}

// memlock returns the hard limit of locked memory: "unlimited", bytes, or "" if it
// cannot be read.
func (h Host) memlock() string {
	for line := range strings.Lines(h.read(h.Proc, "self/limits")) {
		if rest, ok := strings.CutPrefix(line, "Max locked memory"); ok {
			if fields := strings.Fields(rest); len(fields) > 1 {
				return fields[1] // soft limit, hard limit, unit
			}
		}
	}
	return ""
}

// tooOld reports whether a kernel release is older than minMajor.minMinor.
func tooOld(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < minMajor || major == minMajor && minor < minMinor
}
