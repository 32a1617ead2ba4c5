// Package privilege tells what a process lacks to profile its host with eBPF,
// and how to grant it.
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

// Host is where a host's state is read.
type Host struct {
	// Proc and Sys are where procfs and sysfs are mounted.
	Proc, Sys string
}

// Lack is one thing that is missing.
type Lack struct {
	// What is missing, and Remedy how to grant it.
	What, Remedy string
	// Fatal tells that nothing can be profiled without it. Otherwise some
	// processes or names are missing.
	Fatal bool
	// Memlock tells that it is the limit of locked memory. What fails without it says
	// so, and newer kernels do not count eBPF's memory against it.
	Memlock bool
}

// String names both.
func (l Lack) String() string { return l.What + ": " + l.Remedy }

// Capabilities by their numbers in <linux/capability.h>.
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

// initPIDNamespace is the inode of the host's PID namespace, a constant of the
// kernel (PROC_PID_INIT_INO).
const initPIDNamespace = "pid:[4026531836]"

// Oldest kernel with what the profiler's eBPF programs use.
const minMajor, minMinor = 5, 10

// Missing lists what this process lacks. What cannot be read is taken to be
// there.
func (h Host) Missing() []Lack {
	var lacks []Lack
	lack := func(fatal bool, what, remedy string) {
		lacks = append(lacks, Lack{What: what, Remedy: remedy, Fatal: fatal})
	}
	if release := h.read(h.Proc, "sys/kernel/osrelease"); tooOld(release) {
		lack(true, "Linux "+release+" is too old", fmt.Sprintf("use Linux %d.%d or newer", minMajor, minMinor))
	}
	has := h.capabilities()
	for _, c := range []struct {
		number int
		name   string
		within int // a capability that includes it, or the same
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
		lack(c.fatal, c.name+" is missing", "it is needed to "+c.needed+
			"; run as root, add AmbientCapabilities="+c.name+" to the systemd unit, or "+strings.TrimPrefix(c.name, "CAP_")+
			" to securityContext.capabilities.add in Kubernetes")
	}
	if limit := h.memlock(); limit != "" && limit != "unlimited" && !has(capSysResource) {
		lack(true, "RLIMIT_MEMLOCK is "+limit+" bytes and CAP_SYS_RESOURCE, which could raise it, is missing",
			"run with `ulimit -l unlimited`, set LimitMEMLOCK=infinity in the systemd unit, or add SYS_RESOURCE to securityContext.capabilities.add in Kubernetes")
		lacks[len(lacks)-1].Memlock = true
	}
	switch h.tracefs() {
	case missing:
		lack(true, "tracefs is not mounted at /sys/kernel/tracing",
			"run `mount -t tracefs none /sys/kernel/tracing`, or mount the host's /sys/kernel/tracing into the container")
	case forbidden:
		lack(true, "/sys/kernel/tracing cannot be read",
			"run as root, or grant CAP_DAC_READ_SEARCH")
	}
	if h.read(h.Proc, "sys/kernel/kptr_restrict") == "2" {
		lack(true, "kernel.kptr_restrict is 2, which hides the addresses of kernel functions from everyone",
			"run `sysctl kernel.kptr_restrict=1`")
	}
	if paranoid, err := strconv.Atoi(h.read(h.Proc, "sys/kernel/perf_event_paranoid")); err == nil && paranoid > 2 && !has(capSysAdmin) {
		lack(!has(capPerfmon), fmt.Sprintf("kernel.perf_event_paranoid is %d", paranoid),
			"some distributions' kernels want CAP_SYS_ADMIN then; grant it, or run `sysctl kernel.perf_event_paranoid=2`")
	}
	if strings.Contains(h.read(h.Sys, "kernel/security/lockdown"), "[confidentiality]") {
		lack(true, "the kernel is locked down for confidentiality, which forbids eBPF programs to read memory",
			"boot with lockdown=integrity or without lockdown")
	}
	if ns, err := os.Readlink(filepath.Join(h.Proc, "self/ns/pid")); err == nil && ns != initPIDNamespace {
		lack(true, "this process is not in the host's PID namespace, so that other processes cannot be told",
			"set hostPID: true in the pod, or run the container with --pid=host")
	}
	return lacks
}

// OffCPU is what off-CPU profiles lack beside that, or nil. What cannot be read is
// taken to be there.
func (h Host) OffCPU() *Lack {
	if h.tracefs() != there {
		return nil // it is not known
	}
	for _, path := range []string{
		"kernel/tracing/kprobe_events", "kernel/debug/tracing/kprobe_events", "bus/event_source/devices/kprobe",
	} {
		if _, err := os.Stat(filepath.Join(h.Sys, path)); !errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return &Lack{
		What:   "the kernel has no kprobes, with which the time off a CPU is measured",
		Remedy: "use a kernel that is built with CONFIG_KPROBE_EVENTS, or remove off_cpu",
	}
}

func (h Host) read(root, path string) string {
	data, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// What became of a look at something.
const (
	there = iota
	missing
	forbidden
)

// tracefs tells whether it is mounted, in one of the places where it usually is.
func (h Host) tracefs() int {
	found := missing
	for _, path := range []string{"kernel/tracing/events", "kernel/debug/tracing/events"} {
		switch _, err := os.Stat(filepath.Join(h.Sys, path)); {
		case err == nil:
			return there
		case errors.Is(err, fs.ErrPermission):
			found = forbidden
		}
	}
	return found
}

// capabilities tells which the process has in effect.
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

// memlock is the hard limit of locked memory: "unlimited" or bytes.
func (h Host) memlock() string {
	for line := range strings.Lines(h.read(h.Proc, "self/limits")) {
		if rest, ok := strings.CutPrefix(line, "Max locked memory"); ok {
			if fields := strings.Fields(rest); len(fields) > 1 {
				return fields[1] // soft, hard, unit
			}
		}
	}
	return ""
}

func tooOld(release string) bool {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major < minMajor || major == minMajor && minor < minMinor
}
