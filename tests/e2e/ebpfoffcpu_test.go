package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// TestEBPFOffCPU enables off-CPU profiles. If the kernel has no kprobes, the reason is
// reported and CPU profiles still arrive.
func TestEBPFOffCPU(t *testing.T) {
	profilerHost(t)
	sink, err := pyroscopesink.Start("127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	invar := harness.Invar(t, harness.Options{Profiler: true, Env: map[string]string{"PYROSCOPE": sink.URL}, Config: `
receivers:
  ebpf_profile: {interval: 2s, off_cpu: 0.5}
exporters:
  pyroscope: {endpoint: "${env:PYROSCOPE}"}
service:
  pipelines: {profiles: {receivers: [ebpf_profile], exporters: [pyroscope]}}
`})
	background(t, exec.Command(burner(t)))
	profiles := func(name string) error {
		if len(sink.Profiles(map[string]string{"__name__": name})) == 0 {
			return fmt.Errorf("no profile %s has arrived", name)
		}
		return nil
	}
	harness.Eventually(t, time.Minute, func() error { return profiles("process_cpu") })
	if _, err := os.Stat("/sys/kernel/tracing/kprobe_events"); err == nil {
		harness.Eventually(t, time.Minute, func() error { return profiles("off_cpu") })
	} else {
		log := invar.Stderr()
		require.Contains(t, log, "Off-CPU profiles of the host are missing; its CPU profiles are not")
		require.Contains(t, log, "the kernel has no kprobes")
		require.NotContains(t, log, "RLIMIT_MEMLOCK")
		require.Equal(t, 1, strings.Count(log, "Off-CPU profiles"))
	}
	require.NoError(t, invar.Stop())
}
