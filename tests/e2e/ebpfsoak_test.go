package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// TestEBPFShortLived profiles a host on which one process after the other starts, burns
// CPU for tens of milliseconds and ends. Every tenth process runs a new executable that is
// deleted afterwards. Functions must still have names, and memory and open files must not
// grow. INVAR_SOAK=1 runs 10,000 processes.
func TestEBPFShortLived(t *testing.T) {
	profilerHost(t)
	processes := 300
	if os.Getenv("INVAR_SOAK") != "" {
		processes = 10_000
	}
	var mu sync.Mutex
	var named, total int64
	sink, err := pyroscopesink.Start("127.0.0.1:0", func(p pyroscopesink.Profile) {
		stacks := pyroscopesink.Stacks([]pyroscopesink.Profile{p}, "samples")
		mu.Lock()
		defer mu.Unlock()
		for _, s := range stacks {
			// The work of the kernel and the loader for a process is not checked.
			if !s.Has("main") && !s.Has("[burst]") && !strings.Contains(strings.Join(s.Functions, " "), "[variant") {
				continue
			}
			total += s.Value
			if s.Has("main", "burst_work") || s.Functions[len(s.Functions)-1] == "main" || s.Has("main", "cpu_seconds") {
				named += s.Value
			}
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	burst := filepath.Join(t.TempDir(), "burst")
	if text, err := exec.Command(program(t, "gcc"), "-O1", "-o", burst, "testdata/burn/c/burst.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, text)
	}
	invar := harness.Invar(t, harness.Options{Profiler: true, Config: `
receivers:
  ebpf_profile:
    interval: 1s
    targets: {relabel_configs: [{source_labels: [__meta_process_executable_name], regex: 'burst|variant.*', action: keep}]}
exporters:
  pyroscope: {endpoint: "${env:PYROSCOPE}"}
service:
  pipelines: {profiles: {receivers: [ebpf_profile], exporters: [pyroscope]}}
`, Env: map[string]string{"PYROSCOPE": sink.URL}})
	harness.Eventually(t, time.Minute, func() error {
		if !strings.Contains(invar.Stderr(), "The host is profiled") {
			return fmt.Errorf("the profiler has not started")
		}
		return nil
	})

	runBursts(t, burst, 0, processes/3)
	warm := usageOf(t, invar.PID())
	runBursts(t, burst, processes/3, processes)
	end := usageOf(t, invar.PID())
	t.Logf("after %d processes: %s; after %d: %s", processes/3, warm, processes, end)
	assert.LessOrEqual(t, end.files, warm.files+16, "open files")
	assert.LessOrEqual(t, end.anonymous, warm.anonymous*5/4+16<<20, "memory")

	harness.Eventually(t, 20*time.Second, func() error {
		mu.Lock()
		defer mu.Unlock()
		if total < int64(processes) {
			return fmt.Errorf("%d samples of %d processes", total, processes)
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	t.Logf("%d of %d samples have names", named, total)
	assert.Greater(t, float64(named), 0.9*float64(total))
}

// runBursts runs the processes with these numbers, two at a time.
func runBursts(t *testing.T, burst string, from, to int) {
	t.Helper()
	program, err := os.ReadFile(burst)
	require.NoError(t, err)
	dir := t.TempDir()
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := range numbers {
				path := burst
				if n%10 == 0 {
					path = filepath.Join(dir, "variant-"+strconv.Itoa(n))
					other := bytes.Replace(program, []byte("variant-0000000000"), fmt.Appendf(nil, "variant-%010d", n), 1)
					// A process forked while the file is open for writing would keep it
					// open, and it could not be executed.
					syscall.ForkLock.RLock()
					err := os.WriteFile(path, other, 0o700)
					syscall.ForkLock.RUnlock()
					if err != nil {
						t.Error(err)
						continue
					}
				}
				if out, err := exec.Command(path, "40").CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", path, err, out)
				}
				if path != burst {
					_ = os.Remove(path)
				}
			}
		})
	}
	for n := from; n < to; n++ {
		numbers <- n
	}
	close(numbers)
	wg.Wait()
}

// usage is the memory and the open files of a process.
type usage struct {
	files     int
	anonymous int64 // bytes
}

func (u usage) String() string { return fmt.Sprintf("%d files, %d MiB", u.files, u.anonymous>>20) }

// usageOf returns the minimum of several samples, because garbage and files being read
// come and go.
func usageOf(t *testing.T, pid int) usage {
	t.Helper()
	var least usage
	for i := range 8 {
		time.Sleep(500 * time.Millisecond)
		u := usage{}
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		require.NoError(t, err)
		u.files = len(files)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		require.NoError(t, err)
		_, rest, _ := strings.Cut(string(status), "RssAnon:")
		_, err = fmt.Sscanf(rest, "%d", &u.anonymous)
		require.NoError(t, err)
		u.anonymous <<= 10
		if i == 0 {
			least = u
		}
		least.files, least.anonymous = min(least.files, u.files), min(least.anonymous, u.anonymous)
	}
	return least
}
