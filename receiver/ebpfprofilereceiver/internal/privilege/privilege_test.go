package privilege

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host returns a host without problems and with some files changed. An empty text
// removes a file.
func host(t *testing.T, changes map[string]string) Host {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{
		"proc/sys/kernel/osrelease":           "6.18.0-generic\n",
		"proc/sys/kernel/perf_event_paranoid": "2\n",
		"proc/self/status":                    "Name:\tinvar\nCapEff:\t000001ffffffffff\nCapBnd:\t0000000000000000\n",
		"proc/self/limits":                    "Limit  Soft Limit  Hard Limit  Units\nMax locked memory  8388608  8388608  bytes\n",
		"sys/kernel/tracing/events/header":    "x",
		"sys/kernel/security/lockdown":        "[none] integrity confidentiality\n",
	}
	namespace := initPIDNamespace
	for path, text := range changes {
		if path == "proc/self/ns/pid" {
			namespace = text
			continue
		}
		files[path] = text
	}
	for path, text := range files {
		path = filepath.Join(root, path)
		if text == "" {
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/self/ns"), 0o755))
	require.NoError(t, os.Symlink(namespace, filepath.Join(root, "proc/self/ns/pid")))
	return Host{Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys")}
}

func TestProblems(t *testing.T) {
	const noCapabilities = "CapEff:\t0000000000000000\n"
	for _, tt := range []struct {
		name    string
		changes map[string]string
		what    []string // a part of each problem, in order
		fatal   bool
	}{
		{"nothing", nil, nil, false},
		{"old kernel", map[string]string{"proc/sys/kernel/osrelease": "5.4.0-91-generic"}, []string{"Linux 5.4.0-91-generic is too old: use Linux 5.10"}, true},
		{"kernel 5.10", map[string]string{"proc/sys/kernel/osrelease": "5.10.0"}, nil, false},
		{
			"ordinary user", map[string]string{"proc/self/status": noCapabilities},
			[]string{
				"CAP_BPF", "CAP_PERFMON", "CAP_SYSLOG", "CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE", "CAP_DAC_READ_SEARCH",
				"RLIMIT_MEMLOCK is 8388608 bytes",
			}, true,
		},
		{
			"the capabilities and no more", map[string]string{"proc/self/status": "CapEff:\t000001c401080004\n"}, nil, false,
		},
		{
			"all but CAP_SYS_RESOURCE", map[string]string{"proc/self/status": "CapEff:\t000001fffeffffff\n"},
			[]string{"LimitMEMLOCK=infinity"}, true,
		},
		{
			"all but CAP_SYS_RESOURCE, unlimited", map[string]string{
				"proc/self/status": "CapEff:\t000001fffeffffff\n",
				"proc/self/limits": "Max locked memory  unlimited  unlimited  bytes\n",
			}, nil, false,
		},
		{"no tracefs", map[string]string{"sys/kernel/tracing/events/header": ""}, []string{"tracefs is not mounted at /sys/kernel/tracing"}, true},
		{
			"tracefs in debugfs", map[string]string{
				"sys/kernel/tracing/events/header": "", "sys/kernel/debug/tracing/events/header": "x",
			}, nil, false,
		},
		{
			"paranoid", map[string]string{"proc/self/status": "CapEff:\t0000018401080004\n", "proc/sys/kernel/perf_event_paranoid": "3"},
			[]string{"CAP_PERFMON is missing", "kernel.perf_event_paranoid is 3"}, true,
		},
		{
			"paranoid, with CAP_PERFMON", map[string]string{"proc/self/status": "CapEff:\t000001c401080004\n", "proc/sys/kernel/perf_event_paranoid": "4"},
			[]string{"kernel.perf_event_paranoid is 4"}, false,
		},
		{"hidden addresses", map[string]string{"proc/sys/kernel/kptr_restrict": "2"}, []string{"sysctl kernel.kptr_restrict=1"}, true},
		{"no DAC capability", map[string]string{"proc/self/status": "CapEff:\t000001fffffffff9\n"}, []string{"CAP_DAC_READ_SEARCH"}, false},
		{"CAP_DAC_OVERRIDE instead", map[string]string{"proc/self/status": "CapEff:\t000001fffffffffb\n"}, nil, false},
		{"paranoid, privileged", map[string]string{"proc/sys/kernel/perf_event_paranoid": "3"}, nil, false},
		{"lockdown", map[string]string{"sys/kernel/security/lockdown": "none integrity [confidentiality]"}, []string{"locked down"}, true},
		{"own PID namespace", map[string]string{"proc/self/ns/pid": "pid:[4026532000]"}, []string{"hostPID: true"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			problems := host(t, tt.changes).Problems()
			require.Len(t, problems, len(tt.what), "%v", problems)
			fatal := false
			for i, p := range problems {
				assert.Contains(t, p.String(), tt.what[i])
				assert.NotEmpty(t, p.Remedy)
				fatal = fatal || p.Fatal
			}
			assert.Equal(t, tt.fatal, fatal)
		})
	}
}

func TestOffCPU(t *testing.T) {
	f := func(want bool, changes map[string]string) {
		t.Helper()
		problem := host(t, changes).OffCPUProblem()
		if !want {
			assert.Nil(t, problem)
			return
		}
		require.NotNil(t, problem)
		assert.Contains(t, problem.String(), "no kprobes")
		assert.Contains(t, problem.String(), "remove off_cpu")
		assert.False(t, problem.Fatal)
	}
	f(true, nil)
	f(false, map[string]string{"sys/kernel/tracing/kprobe_events": "x"})
	f(false, map[string]string{"sys/kernel/debug/tracing/kprobe_events": "x"})
	f(false, map[string]string{"sys/bus/event_source/devices/kprobe/type": "8"})
	f(false, map[string]string{"sys/kernel/tracing/events/header": ""}) // unknown
}

func TestUnreadable(t *testing.T) {
	for _, p := range (Host{Proc: "/nowhere", Sys: "/nowhere"}).Problems() {
		assert.Contains(t, p.What, "tracefs")
	}
}
