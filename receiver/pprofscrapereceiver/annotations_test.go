package pprofscrapereceiver

import (
	"strings"
	"testing"

	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"
)

// annotated returns the labels of a pod's port with the annotations
// profiles.grafana.com/*, which are pairs like "memory.scrape", "true".
func annotated(address, port, portName string, annotations ...string) []string {
	labels := []string{
		"__address__", address, podNamespace, "shop", podName, "web-0", "__meta_kubernetes_pod_container_name", "web", podPhase, "Running",
		podPortNumber, port, podPortName, portName,
	}
	for i := 0; i < len(annotations); i += 2 {
		labels = append(labels, profileAnnotations+strings.ReplaceAll(annotations[i], ".", "_"), annotations[i+1])
	}
	return labels
}

func TestAnnotations(t *testing.T) {
	const config = "kubernetes_annotations: require, profiling_config: {pprof_config: {fgprof: {enabled: true}, godeltaprof_memory: {enabled: true}, mine: {path: /mine}}}"
	f := func(g *targetgroup.Group, want ...string) {
		t.Helper()
		cfg, err := parseJob(t, config)
		require.NoError(t, err)
		require.Equal(t, want, found(t, cfg, g))
	}
	port := func(annotations ...string) []string {
		return annotated("10.0.0.1:8080", "8080", "http", annotations...)
	}

	f(group(port("memory.scrape", "true")), "memory http://10.0.0.1:8080/debug/pprof/allocs")
	f(group(port("cpu.scrape", "true")), "process_cpu http://10.0.0.1:8080/debug/pprof/profile?seconds=14")
	f(group(port("process_cpu.scrape", "true")), "process_cpu http://10.0.0.1:8080/debug/pprof/profile?seconds=14")
	f(group(port("cpu.scrape", "true", "memory.scrape", "true", "goroutine.scrape", "false")),
		"memory http://10.0.0.1:8080/debug/pprof/allocs", "process_cpu http://10.0.0.1:8080/debug/pprof/profile?seconds=14")
	f(group(port("fgprof.scrape", "true", "mine.scrape", "true", "godeltaprof_memory.scrape", "true")),
		"fgprof http://10.0.0.1:8080/debug/fgprof?seconds=14", "memory http://10.0.0.1:8080/debug/pprof/delta_heap", "mine http://10.0.0.1:8080/mine")
	f(group(port("memory.scrape", "yes")))
	f(group(port("memory.port", "6060")))
	f(group(port()))

	// Address, scheme and path.
	f(group(port("memory.scrape", "true", "memory.port", "6060")), "memory http://10.0.0.1:6060/debug/pprof/allocs")
	f(group(port("memory.scrape", "true", "memory.port", "high")), "memory http://10.0.0.1:8080/debug/pprof/allocs")
	f(group(port("memory.scrape", "true", "memory.scheme", "https", "memory.path", "/heap")), "memory https://10.0.0.1:8080/heap")
	f(group(port("memory.scrape", "true", "memory.scheme", "ftp")), "memory http://10.0.0.1:8080/debug/pprof/allocs")
	f(group(port("memory.scrape", "true", "block.path", "/heap")), "memory http://10.0.0.1:8080/debug/pprof/allocs")
	f(group(annotated("10.0.0.1", "", "", "memory.scrape", "true", "memory.port", "6060")), "memory http://10.0.0.1:6060/debug/pprof/allocs")
	f(group(annotated("[fd00::1]:80", "80", "", "memory.scrape", "true", "memory.port", "6060")), "memory http://[fd00::1]:6060/debug/pprof/allocs")
	f(group(annotated("[fd00::1]", "", "", "memory.scrape", "true", "memory.port", "6060")), "memory http://[fd00::1]:6060/debug/pprof/allocs")

	// Choice between the pod's ports.
	both := func(annotations ...string) *targetgroup.Group {
		return group(port(annotations...), annotated("10.0.0.1:6060", "6060", "pprof", annotations...))
	}
	f(both("memory.scrape", "true", "memory.port_name", "pprof"), "memory http://10.0.0.1:6060/debug/pprof/allocs")
	f(both("memory.scrape", "true", "memory.port_name", "other"))
	f(both("memory.scrape", "true", "memory.port", "6060"), "memory http://10.0.0.1:6060/debug/pprof/allocs")
	f(both("memory.scrape", "true", "memory.port", "7070"), "memory http://10.0.0.1:7070/debug/pprof/allocs")
	f(both("memory.scrape", "true"), "memory http://10.0.0.1:6060/debug/pprof/allocs", "memory http://10.0.0.1:8080/debug/pprof/allocs")
	f(both("cpu.scrape", "true", "cpu.port", "6060", "memory.scrape", "true", "memory.port", "8080"),
		"memory http://10.0.0.1:8080/debug/pprof/allocs", "process_cpu http://10.0.0.1:6060/debug/pprof/profile?seconds=14")

	// Two pods in one group, like the endpoints of a service.
	other := annotated("10.0.0.2:8080", "8080", "http", "memory.scrape", "true", "memory.port", "6060")
	other[5] = "web-1"
	f(group(port("memory.scrape", "true", "memory.port", "6060"), other),
		"memory http://10.0.0.1:6060/debug/pprof/allocs", "memory http://10.0.0.2:6060/debug/pprof/allocs")

	// An init container represents a port that none declares only if it is alone.
	initial := append(port("memory.scrape", "true", "memory.port", "7070"), podInit, "true", "container", "init")
	main := append(port("memory.scrape", "true", "memory.port", "7070"), "container", "main")
	cfg, err := parseJob(t, config)
	require.NoError(t, err)
	targets, errs := cfg.targetsOf(group(initial, main))
	require.Empty(t, errs)
	require.Len(t, targets, 1)
	require.Equal(t, "main", targets[0].labels.Get("container"))

	for _, phase := range []string{"Pending", "Succeeded", "Failed", "Completed"} {
		labels := port("memory.scrape", "true")
		labels[9] = phase
		f(group(labels))
	}
}

func TestWhatBecomesOfAnnotations(t *testing.T) {
	with := annotated("a:1", "1", "", "memory.scrape", "true", "memory.port", "2")
	without := annotated("b:1", "1", "")
	f := func(config string, want ...string) {
		t.Helper()
		cfg, err := parseJob(t, config+only("memory", "goroutine"))
		require.NoError(t, err)
		require.Equal(t, want, found(t, cfg, group(with, without)))
	}
	f("", "goroutine http://b:1/debug/pprof/goroutine", "memory http://a:2/debug/pprof/allocs", "memory http://b:1/debug/pprof/allocs")
	f("kubernetes_annotations: use, ",
		"goroutine http://b:1/debug/pprof/goroutine", "memory http://a:2/debug/pprof/allocs", "memory http://b:1/debug/pprof/allocs")
	f("kubernetes_annotations: require, ", "memory http://a:2/debug/pprof/allocs")
	f("kubernetes_annotations: ignore, ",
		"goroutine http://a:1/debug/pprof/goroutine", "goroutine http://b:1/debug/pprof/goroutine",
		"memory http://a:1/debug/pprof/allocs", "memory http://b:1/debug/pprof/allocs")
	// Relabelling comes last.
	f("kubernetes_annotations: require, relabel_configs: [{source_labels: [__address__], regex: a:2, target_label: __address__, replacement: c:3}], ",
		"memory http://c:3/debug/pprof/allocs")
}
