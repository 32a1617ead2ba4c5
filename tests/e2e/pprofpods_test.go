package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// TestPprofScrapePods scrapes pods whose annotations in a real kube-apiserver select the
// profiles, ports and paths.
func TestPprofScrapePods(t *testing.T) {
	t.Parallel()
	app, worker := &pprofPod{asked: map[string]int64{}}, &pprofPod{asked: map[string]int64{}}
	appPort, workerPort := app.start(t), worker.start(t)
	nobodyPort, err := strconv.Atoi(harness.Port(t, harness.FreeAddr(t)))
	require.NoError(t, err)

	kubernetes := harness.Kubernetes(t)
	kubernetes.CreateNamespace("shop")
	pod := func(name, phase string, annotations map[string]string, ports ...any) {
		kubernetes.CreatePod("shop", map[string]any{
			"metadata": map[string]any{"name": name, "annotations": annotations, "labels": map[string]string{"app.kubernetes.io/name": "the-" + name}},
			"spec":     map[string]any{"containers": []any{map[string]any{"name": "main", "image": "x:1", "ports": ports}}},
		})
		kubernetes.UpdatePodStatus("shop", name, map[string]any{"phase": phase, "podIP": "127.0.0.1", "podIPs": []any{map[string]any{"ip": "127.0.0.1"}}})
	}
	port := func(name string, number int) any { return map[string]any{"name": name, "containerPort": number} }
	const profiles = "profiles.grafana.com/"
	// By name and by number, for two ports that the pod declares.
	pod("cart", "Running", map[string]string{
		profiles + "cpu.scrape": "true", profiles + "cpu.port_name": "debug", profiles + "cpu.path": "/own/profile",
		profiles + "memory.scrape": "true", profiles + "memory.port": strconv.Itoa(appPort),
		profiles + "goroutine.scrape": "false", profiles + "goroutine.port": strconv.Itoa(appPort),
	}, port("web", nobodyPort), port("debug", appPort))
	// By number, for a port that it does not declare.
	pod("worker", "Running", map[string]string{
		profiles + "block.scrape": "true", profiles + "block.port": strconv.Itoa(workerPort), profiles + "block.path": "/prefix/block",
		"pyroscope.io/service_name": "annotated",
	})
	pod("silent", "Running", nil, port("debug", workerPort))
	pod("finished", "Succeeded", map[string]string{profiles + "mutex.scrape": "true", profiles + "mutex.port": strconv.Itoa(workerPort)}, port("debug", workerPort))

	sink := startPyroscope(t)
	invar := harness.Invar(t, harness.Options{Config: `
receivers:
  pprof_scrape:
    scrape_configs:
      - job_name: pods
        scrape_interval: 2s
        kubernetes_annotations: require
        kubernetes_sd_configs: [{role: pod, kubeconfig_file: "${env:KUBECONFIG}"}]
        relabel_configs:
          - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
          - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
          - {regex: __meta_kubernetes_pod_label_(.+), action: labelmap, replacement: label_$1}
exporters:
  pyroscope: {endpoint: "${env:PYROSCOPE}", sending_queue: {batch: {flush_timeout: 100ms}}}
service: {pipelines: {profiles: {receivers: [pprof_scrape], exporters: [pyroscope]}}}
`, Env: map[string]string{"KUBECONFIG": kubernetes.Kubeconfig, "PYROSCOPE": sink.URL}})

	want := map[string]map[string]string{}
	for _, w := range []struct{ name, pod, service, address string }{
		{"process_cpu", "cart", "the-cart", fmt.Sprint("127.0.0.1:", appPort)},
		{"memory", "cart", "the-cart", fmt.Sprint("127.0.0.1:", appPort)},
		{"block", "worker", "annotated", fmt.Sprint("127.0.0.1:", workerPort)},
	} {
		want[w.name] = map[string]string{
			"__name__": w.name, "service_name": w.service, "job": "pods", "instance": w.address,
			"namespace": "shop", "pod": w.pod, "label_app_kubernetes_io_name": "the-" + w.pod,
		}
		if w.name != "process_cpu" { // for others, Pyroscope would compute differences again
			want[w.name]["__delta__"] = "false"
		}
	}
	harness.Eventually(t, 30*time.Second, func() error {
		for name, labels := range want {
			if n := len(sink.Profiles(labels)); n < 2 {
				return fmt.Errorf("%d profiles of %s, want 2", n, name)
			}
		}
		return nil
	})
	for _, p := range sink.Profiles(nil) {
		require.Equal(t, want[p.Labels["__name__"]], p.Labels)
	}
	require.Equal(t, []string{"/debug/pprof/allocs", "/own/profile?seconds=1"}, app.paths())
	require.Equal(t, []string{"/prefix/block"}, worker.paths())
	// The values grow by 10 with each request. The first request is the baseline.
	share, _ := pyroscopesink.Share(pyroscopesink.Stacks(sink.Profiles(want["block"]), "contentions"), func(s pyroscopesink.Stack) bool { return s.Value == 10 && s.Has("main", "wait") })
	require.InDelta(t, 1, share, 0)

	kubernetes.Delete("/api/v1/namespaces/shop/pods/cart")
	harness.Eventually(t, 30*time.Second, func() error {
		if n := metricValue(t, invar, "otelcol_receiver_pprof_scrape_targets", `job="pods"`); n != 1 {
			return fmt.Errorf("%v targets, want the worker's alone", n)
		}
		return nil
	})
	require.NoError(t, invar.Stop())
}

// pprofPod answers every request with a cumulative profile, and counts the requests.
type pprofPod struct {
	mu    sync.Mutex
	asked map[string]int64 // number of requests, by path and query
}

// start serves on a port of this host and returns the port.
func (p *pprofPod) start(t *testing.T) int {
	t.Helper()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	return number
}

// ServeHTTP implements http.Handler.
func (p *pprofPod) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked[r.URL.RequestURI()]++
	n := p.asked[r.URL.RequestURI()]
	p.mu.Unlock()
	types := []*profile.ValueType{{Type: "samples", Unit: "count"}}
	switch {
	case strings.HasSuffix(r.URL.Path, "block"):
		types = []*profile.ValueType{{Type: "contentions", Unit: "count"}}
	case strings.HasSuffix(r.URL.Path, "allocs"):
		types = []*profile.ValueType{{Type: "inuse_space", Unit: "bytes"}}
	}
	outer, inner := &profile.Function{ID: 1, Name: "main"}, &profile.Function{ID: 2, Name: "wait"}
	locations := []*profile.Location{{ID: 1, Line: []profile.Line{{Function: inner}}}, {ID: 2, Line: []profile.Line{{Function: outer}}}}
	_ = (&profile.Profile{
		SampleType: types, TimeNanos: time.Now().UnixNano(), Function: []*profile.Function{outer, inner}, Location: locations,
		Sample: []*profile.Sample{{Location: locations, Value: []int64{10 * n}}},
	}).Write(w)
}

func (p *pprofPod) paths() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.asked))
}
