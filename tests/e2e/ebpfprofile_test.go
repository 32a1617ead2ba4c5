package e2e

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// profilerHost skips the test unless eBPF programs can be loaded. That needs root with
// the capabilities, and tracefs, which is mounted if necessary.
func profilerHost(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("profiling the host needs root")
	}
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	require.NoError(t, unix.Capget(&hdr, &caps[0]))
	for _, c := range []struct {
		number int
		name   string
	}{{unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"}} {
		if caps[c.number/32].Effective&(1<<(c.number%32)) == 0 {
			t.Skip("profiling the host needs " + c.name)
		}
	}
	const tracefs = "/sys/kernel/tracing"
	if _, err := os.Stat(tracefs + "/events"); err != nil {
		if err := unix.Mount("none", tracefs, "tracefs", 0, ""); err != nil {
			t.Skipf("profiling the host needs tracefs at %s: %v", tracefs, err)
		}
	}
}

// program returns the path of a tool. It skips the test if the tool is not installed.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skip("needs " + name)
	}
	return path
}

// burner compiles the C program that burns CPU.
func burner(t *testing.T, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "burn-c")
	args := append([]string{"-O1", "-fomit-frame-pointer", "-o", out, "testdata/burn/c/burn.c"}, flags...)
	if text, err := exec.Command(program(t, "gcc"), args...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, text)
	}
	return out
}

// background runs a program until the test ends.
func background(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// cgroup creates a cgroup as Kubernetes does for a container, and returns its folder.
func cgroup(t *testing.T, podUID, containerID string) string {
	t.Helper()
	path := filepath.Join("kubepods", "burstable", "pod"+podUID, containerID)
	var errs []string
	for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup", "/sys/fs/cgroup/pids"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue
		}
		dir := filepath.Join(root, path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			errs = append(errs, err.Error())
			continue
		}
		t.Cleanup(func() { // once the process in it has ended
			for ; dir != root; dir = filepath.Dir(dir) {
				_ = os.Remove(dir)
			}
		})
		return dir
	}
	t.Skip("needs a cgroup that can be written: " + strings.Join(errs, "; "))
	return ""
}

// TestEBPFProfile profiles this host while programs in C, Go and Python burn CPU in known
// shares, and checks the profiles that arrive at Pyroscope's API. One program runs in a
// cgroup like that of a container, whose pod is in a real kube-apiserver.
func TestEBPFProfile(t *testing.T) {
	profilerHost(t)
	python := program(t, "python3")
	inPod, stripped := burner(t), burner(t, "-rdynamic", "-s")
	inGo := filepath.Join(t.TempDir(), "burn-go")
	if text, err := exec.Command("go", "build", "-o", inGo, "./testdata/burn/go").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}

	kubernetes := harness.Kubernetes(t)
	kubernetes.CreateNamespace("shop")
	uid := kubernetes.CreatePod("shop", map[string]any{
		"metadata": map[string]any{
			"name": "cart-5d9c7b6f4-x2x4z", "labels": map[string]any{"pod-template-hash": "5d9c7b6f4"},
			"ownerReferences": []any{map[string]any{
				"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-5d9c7b6f4", "controller": true,
				"uid": "11111111-2222-3333-4444-555555555555",
			}},
		},
		"spec": map[string]any{"nodeName": "worker-1", "containers": []any{map[string]any{
			"name": "app", "image": "cart:1", "ports": []any{map[string]any{"containerPort": 80}, map[string]any{"containerPort": 81}},
		}}},
	})
	id := containerID()
	kubernetes.UpdatePodStatus("shop", "cart-5d9c7b6f4-x2x4z", map[string]any{
		"phase": "Running", "podIP": "10.1.2.3",
		"containerStatuses": []any{map[string]any{"name": "app", "containerID": "containerd://" + id, "ready": true, "image": "cart:1", "imageID": "x"}},
	})

	sink, err := pyroscopesink.Start("127.0.0.1:0", nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = sink.Close() })
	invar := harness.Invar(t, harness.Options{Profiler: true, Config: `
receivers:
  ebpf_profile:
    interval: 2s
    targets:
      kubernetes_sd_configs:
        - role: pod
          kubeconfig_file: ${env:KUBECONFIG}
          selectors: [{role: pod, field: spec.nodeName=worker-1}]
      relabel_configs:
        - source_labels: [__meta_process_executable_name, __meta_process_command_line]
          regex: 'burn-.*|python.*;\S+ testdata/burn/python/burn\.py'
          action: keep
        - {source_labels: [__meta_kubernetes_namespace], target_label: team}
exporters:
  pyroscope:
    endpoint: ${env:PYROSCOPE}
    tenant: {value: nodes}
    resource_labels: {include: [container.id, process.pid]}
service:
  pipelines: {profiles: {receivers: [ebpf_profile], exporters: [pyroscope]}}
`, Env: map[string]string{"KUBECONFIG": kubernetes.Kubeconfig, "PYROSCOPE": sink.URL}})
	harness.Eventually(t, time.Minute, func() error {
		if !strings.Contains(invar.Stderr(), "The host is profiled") {
			return fmt.Errorf("the profiler has not started")
		}
		return nil
	})

	procs := filepath.Join(cgroup(t, uid, id), "cgroup.procs")
	background(t, exec.Command("sh", "-c", `echo $$ > "$0" && exec "$1"`, procs, inPod))
	background(t, exec.Command(stripped, "kernel"))
	named := exec.Command(inGo)
	named.Env = append(os.Environ(), "OTEL_SERVICE_NAME=burner")
	background(t, named)
	background(t, exec.Command(python, "testdata/burn/python/burn.py"))

	shop := map[string]string{"__name__": "process_cpu", "service_name": "cart", "container_id": id}
	kernel := map[string]string{"__name__": "process_cpu", "service_name": "burn-c"}
	burnerInGo := map[string]string{"service_name": "burner"}
	inPython := func() []pyroscopesink.Profile {
		for _, p := range sink.Profiles(nil) {
			if strings.HasPrefix(p.Labels["service_name"], "python") {
				return sink.Profiles(map[string]string{"service_name": p.Labels["service_name"]})
			}
		}
		return nil
	}

	const enough = 400 // samples, enough for shares within 5 points
	all := func(pyroscopesink.Stack) bool { return true }
	harness.Eventually(t, 2*time.Minute, func() error {
		for name, profiles := range map[string][]pyroscopesink.Profile{
			"C": sink.Profiles(shop), "kernel": sink.Profiles(kernel), "Go": sink.Profiles(burnerInGo), "Python": inPython(),
		} {
			if _, n := pyroscopesink.Share(pyroscopesink.Stacks(profiles, "samples"), all); n < enough {
				return fmt.Errorf("%s has %d samples", name, n)
			}
		}
		return nil
	})

	t.Run("shares and order", func(t *testing.T) {
		for _, tt := range []struct {
			language     string
			profiles     []pyroscopesink.Profile
			large, small []string
		}{
			{"C", sink.Profiles(shop), []string{"main", "burn_large", "spin_square"}, []string{"main", "burn_small", "spin_xor"}},
			{"Go", sink.Profiles(burnerInGo), []string{"main.main", "main.burnLarge", "main.spinSquare"}, []string{"main.main", "main.burnSmall", "main.spinXor"}},
			{"Python", inPython(), []string{"main", "burn_large", "spin_square"}, []string{"main", "burn_small", "spin_xor"}},
		} {
			stacks := pyroscopesink.Stacks(tt.profiles, "cpu")
			large, total := pyroscopesink.Share(stacks, func(s pyroscopesink.Stack) bool { return s.Has(tt.large...) })
			small, _ := pyroscopesink.Share(stacks, func(s pyroscopesink.Stack) bool { return s.Has(tt.small...) })
			t.Logf("%s: %.3f and %.3f of %s", tt.language, large, small, time.Duration(total))
			assert.InDelta(t, 0.75, large, 0.10, "%s: %v", tt.language, sample(stacks))
			assert.InDelta(t, 0.25, small, 0.10, "%s: %v", tt.language, sample(stacks))
		}
	})
	t.Run("kernel", func(t *testing.T) {
		stacks := pyroscopesink.Stacks(sink.Profiles(kernel), "samples")
		share, _ := pyroscopesink.Share(stacks, func(s pyroscopesink.Stack) bool {
			joined := strings.Join(s.Functions, "\n")
			_, called, ok := strings.Cut(joined, "\nmain\nburn_kernel\n")
			return ok && strings.Contains(called, "vfs_read")
		})
		assert.Greater(t, share, 0.8, "%v", sample(stacks))
	})
	t.Run("attributes", func(t *testing.T) {
		p := sink.Profiles(shop)[0]
		assert.Equal(t, "nodes", p.Tenant)
		for name, value := range map[string]string{
			"k8s_namespace_name": "shop", "k8s_pod_name": "cart-5d9c7b6f4-x2x4z", "k8s_container_name": "app", "k8s_node_name": "worker-1",
			"k8s_deployment_name": "cart", "k8s_replicaset_name": "cart-5d9c7b6f4", "process_executable_name": "burn-c", "team": "shop",
		} {
			assert.Equal(t, value, p.Labels[name], name)
		}
		assert.Equal(t, int64(time.Second)/97, p.Pprof.Period)
		assert.InDelta(t, 2*time.Second, time.Duration(p.Pprof.DurationNanos), float64(time.Second))
		withBuildID := 0
		for _, m := range p.Pprof.Mapping {
			if m.BuildID != "" {
				withBuildID++
			}
		}
		assert.Positive(t, withBuildID)
	})
	t.Run("selection", func(t *testing.T) {
		for _, p := range sink.Profiles(nil) {
			name := p.Labels["process_executable_name"]
			assert.True(t, strings.HasPrefix(name, "burn-") || strings.HasPrefix(name, "python"), "%v", p.Labels)
		}
	})
}

// sample returns a few stacks for a failure message.
func sample(stacks []pyroscopesink.Stack) []pyroscopesink.Stack { return stacks[:min(len(stacks), 5)] }

// containerID has the format of container runtimes.
func containerID() string {
	id := make([]byte, 32)
	for i := range id {
		id[i] = byte(rand.IntN(256))
	}
	return hex.EncodeToString(id)
}
