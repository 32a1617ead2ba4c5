package attribution

import (
	"maps"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/relabel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/goleak"

	"github.com/invar-otel/invar/internal/config/configtest"
	"github.com/invar-otel/invar/internal/promdiscovery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rules parses relabel_configs.
func rules(t testing.TB, text string) []*relabel.Config {
	t.Helper()
	var job promdiscovery.Job
	require.NoError(t, configtest.Parse(t, "relabel_configs: "+text, &job))
	return job.RelabelConfigs()
}

// targets returns a target for each of labels.
func targets(labels ...model.LabelSet) *Targets {
	return NewTargets([]*targetgroup.Group{{Targets: labels}})
}

const container = "4b2f1c"

var process = Process{
	PID: 42, Executable: "/usr/bin/cart", CommandLine: "/usr/bin/cart --port 80", UID: "1000", ContainerID: container,
}

// pod returns the discovered labels of the container of process. more takes precedence.
func pod(more model.LabelSet) model.LabelSet {
	labels := model.LabelSet{
		"__meta_kubernetes_namespace":             "shop",
		"__meta_kubernetes_pod_name":              "cart-0",
		"__meta_kubernetes_pod_uid":               "u-1",
		"__meta_kubernetes_pod_node_name":         "worker-1",
		"__meta_kubernetes_pod_container_name":    "app",
		"__meta_kubernetes_pod_container_id":      "containerd://" + container,
		"__meta_kubernetes_pod_label_team":        "blue",
		"__meta_kubernetes_pod_label_environment": "prod",
	}
	maps.Copy(labels, more)
	return labels
}

func controller(kind, name, hash string) model.LabelSet {
	labels := model.LabelSet{"__meta_kubernetes_pod_controller_kind": model.LabelValue(kind), "__meta_kubernetes_pod_controller_name": model.LabelValue(name)}
	if hash != "" {
		labels["__meta_kubernetes_pod_label_pod_template_hash"] = model.LabelValue(hash)
	}
	return labels
}

func TestKubernetes(t *testing.T) {
	basic := Attributes{
		"k8s.namespace.name": "shop", "k8s.pod.name": "cart-0", "k8s.pod.uid": "u-1", "k8s.node.name": "worker-1", "k8s.container.name": "app",
	}
	f := func(of model.LabelSet, want Attributes) {
		t.Helper()
		maps.Copy(want, basic)
		got, keep := Of(process, targets(pod(of)), nil)
		assert.True(t, keep)
		assert.Equal(t, want, got)
	}
	f(nil, Attributes{"service.name": "cart-0"})
	f(controller("ReplicaSet", "cart-5d9c", "5d9c"), Attributes{"k8s.replicaset.name": "cart-5d9c", "k8s.deployment.name": "cart", "service.name": "cart"})
	// A ReplicaSet without a Deployment, and one whose name only looks like that of a
	// Deployment's.
	f(controller("ReplicaSet", "cart-5d9c", ""), Attributes{"k8s.replicaset.name": "cart-5d9c", "service.name": "cart-5d9c"})
	f(controller("ReplicaSet", "cart-5d9c", "77aa"), Attributes{"k8s.replicaset.name": "cart-5d9c", "service.name": "cart-5d9c"})
	f(controller("StatefulSet", "db", ""), Attributes{"k8s.statefulset.name": "db", "service.name": "db"})
	f(controller("DaemonSet", "agent", ""), Attributes{"k8s.daemonset.name": "agent", "service.name": "agent"})
	f(controller("Job", "import", ""), Attributes{"k8s.job.name": "import", "service.name": "import"})
	f(controller("Job", "import-28371840", ""), Attributes{"k8s.job.name": "import-28371840", "k8s.cronjob.name": "import", "service.name": "import"})
	f(controller("Job", "import-2024", ""), Attributes{"k8s.job.name": "import-2024", "service.name": "import-2024"})
	f(controller("Job", "import-nightlyy", ""), Attributes{"k8s.job.name": "import-nightlyy", "service.name": "import-nightlyy"})
	f(controller("Node", "worker-1", ""), Attributes{"service.name": "cart-0"})
}

func TestDocker(t *testing.T) {
	got, keep := Of(process, targets(model.LabelSet{"__meta_docker_container_id": container, "__meta_docker_container_name": "/web"}), nil)
	assert.True(t, keep)
	assert.Equal(t, Attributes{"container.name": "web", "service.name": "web"}, got)
}

// TestServiceName removes one source of the name after the other.
func TestServiceName(t *testing.T) {
	p := process
	p.ServiceName = "from-environment"
	target := pod(controller("ReplicaSet", "cart-5d9c", "5d9c"))
	maps.Copy(target, model.LabelSet{
		"__meta_kubernetes_pod_annotation_resource_opentelemetry_io_service_name": "from-annotation",
		"__meta_kubernetes_pod_annotation_pyroscope_io_service_name":              "from-pyroscope",
		"__meta_kubernetes_pod_label_app_kubernetes_io_instance":                  "from-instance",
		"__meta_kubernetes_pod_label_app_kubernetes_io_name":                      "from-name",
		"__meta_docker_container_name":                                            "/from-docker",
		"team":                                                                    "blue",
	})
	named := rules(t, `[{target_label: service_name, replacement: from-rule}]`)
	f := func(rules []*relabel.Config, want string) {
		t.Helper()
		got, keep := Of(p, targets(target), rules)
		assert.True(t, keep)
		assert.Equal(t, want, got["service.name"])
	}
	without := func(name model.LabelName) { delete(target, name) }

	f(named, "from-rule")
	f(nil, "from-annotation")
	without("__meta_kubernetes_pod_annotation_resource_opentelemetry_io_service_name")
	f(nil, "from-pyroscope")
	without("__meta_kubernetes_pod_annotation_pyroscope_io_service_name")
	f(nil, "from-environment")
	p.ServiceName = ""
	f(nil, "from-instance")
	without("__meta_kubernetes_pod_label_app_kubernetes_io_instance")
	f(nil, "from-name")
	without("__meta_kubernetes_pod_label_app_kubernetes_io_name")
	f(nil, "cart")
	without("__meta_kubernetes_pod_label_pod_template_hash")
	f(nil, "cart-5d9c")
	without("__meta_kubernetes_pod_controller_kind")
	f(nil, "cart-0")
	without("__meta_kubernetes_pod_name")
	f(nil, "from-docker")
	without("__meta_docker_container_name")
	f(nil, "cart")
	p.Executable, p.Thread = "", "kworker/0:1"
	f(nil, "kworker/0:1")
}

func TestRelabelling(t *testing.T) {
	f := func(text string, want Attributes) {
		t.Helper()
		got, keep := Of(process, targets(pod(model.LabelSet{"env": "prod"})), rules(t, text))
		assert.Equal(t, want != nil, keep)
		if want != nil {
			for _, key := range []string{"k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.node.name", "k8s.container.name"} {
				assert.Contains(t, got, key)
				delete(got, key)
			}
		}
		assert.Equal(t, want, got)
	}
	plain := Attributes{"env": "prod", "service.name": "cart-0"}
	f(`[]`, plain)
	for label, value := range map[string]string{
		"__meta_process_pid": "42", "__meta_process_executable_path": "/usr/bin/cart", "__meta_process_executable_name": "cart",
		"__meta_process_command_line": "/usr/bin/cart --port 80", "__meta_process_uid": "1000", "__meta_process_container_id": container,
		"__meta_kubernetes_namespace": "shop", "env": "prod",
	} {
		f(`[{action: keep, source_labels: [`+label+`], regex: "`+value+`"}]`, plain)
		f(`[{action: drop, source_labels: [`+label+`], regex: "`+value+`"}]`, nil)
		f(`[{action: keep, source_labels: [`+label+`], regex: "other"}]`, nil)
	}
	f(`[{action: labelmap, regex: __meta_kubernetes_pod_label_(.+)}]`,
		Attributes{"env": "prod", "team": "blue", "environment": "prod", "service.name": "cart-0"})
	f(`[{action: labeldrop, regex: env}]`, Attributes{"service.name": "cart-0"})
	f(`[{action: labelkeep, regex: nothing}]`, Attributes{"service.name": "cart-0"})
	f(`[{source_labels: [__meta_kubernetes_pod_label_team, env], separator: /, target_label: service_name}]`,
		Attributes{"env": "prod", "service.name": "blue/prod"})
	f(`[{target_label: service_name, replacement: ""}]`, plain)
	f(`[{target_label: __own, replacement: x}, {source_labels: [__own], target_label: cloud.region}]`,
		Attributes{"env": "prod", "cloud.region": "x", "service.name": "cart-0"})
}

// Rules apply to processes without a target, too.
func TestWithoutTarget(t *testing.T) {
	keep := rules(t, `[{action: keep, source_labels: [__meta_process_executable_name], regex: cart}]`)
	for _, targets := range []*Targets{nil, NewTargets(nil), targets(model.LabelSet{"__container_id__": "other", "env": "prod"})} {
		got, kept := Of(process, targets, keep)
		assert.True(t, kept)
		assert.Equal(t, Attributes{"service.name": "cart"}, got)
	}
	_, kept := Of(Process{PID: 7}, nil, keep)
	assert.False(t, kept)
}

func TestPut(t *testing.T) {
	type pair struct {
		key   string
		value any
	}
	f := func(a Attributes, p Process, want ...pair) {
		t.Helper()
		m := pcommon.NewMap()
		a.Put(m, p)
		var got []pair
		for key, value := range m.All() {
			got = append(got, pair{key, value.AsRaw()})
		}
		assert.Equal(t, want, got)
	}
	f(Attributes{"service.name": "cart", "env": "prod", "k8s.pod.name": "cart-0"}, process,
		pair{"process.pid", int64(42)}, pair{"process.executable.path", "/usr/bin/cart"}, pair{"process.executable.name", "cart"},
		pair{"container.id", container}, pair{"env", "prod"}, pair{"k8s.pod.name", "cart-0"}, pair{"service.name", "cart"})
	f(Attributes{"service.name": "kernel"}, Process{PID: 2, Thread: "kernel"}, pair{"process.pid", int64(2)}, pair{"service.name", "kernel"})
	// A rule may override it.
	f(Attributes{"container.id": "x"}, process, pair{"process.pid", int64(42)}, pair{"process.executable.path", "/usr/bin/cart"},
		pair{"process.executable.name", "cart"}, pair{"container.id", "x"})
}
