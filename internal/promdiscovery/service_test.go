package promdiscovery

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestService(t *testing.T) {
	// Each label takes precedence over those after it.
	order := []struct{ label, value, want string }{
		{pod + "annotation_resource_opentelemetry_io_service_name", "otel", "otel"},
		{pod + "annotation_pyroscope_io_service_name", "pyroscope", "pyroscope"},
		{pod + "label_app_kubernetes_io_instance", "shop-cart", "shop-cart"},
		{pod + "label_app_kubernetes_io_name", "cart", "cart"},
		{pod + "controller_kind", "DaemonSet", "agent"},
		{pod + "name", "agent-x2x4z", "agent-x2x4z"},
		{"__meta_docker_container_name", "/web", "web"},
		{"__meta_dockerswarm_container_label_service_name", "label", "label"},
		{"__meta_dockerswarm_service_name", "swarm", "swarm"},
	}
	labels := map[string]string{pod + "controller_name": "agent"}
	for _, o := range order {
		labels[o.label] = o.value
	}
	label := func(name string) string { return labels[name] }
	for _, o := range order {
		assert.Equal(t, o.want, Service(label), o.label)
		delete(labels, o.label)
	}
	assert.Empty(t, Service(label))
}

func TestPodOwners(t *testing.T) {
	f := func(kind, name, hash string, want ...Owner) {
		t.Helper()
		labels := map[string]string{pod + "controller_kind": kind, pod + "controller_name": name, pod + "label_pod_template_hash": hash}
		assert.Equal(t, want, PodOwners(func(name string) string { return labels[name] }))
	}
	f("", "", "")
	f("ReplicaSet", "cart-5d9c7b6f4", "5d9c7b6f4", Owner{"k8s.deployment.name", "cart"}, Owner{"k8s.replicaset.name", "cart-5d9c7b6f4"})
	f("ReplicaSet", "alone", "", Owner{"k8s.replicaset.name", "alone"})
	f("ReplicaSet", "alone-1", "2", Owner{"k8s.replicaset.name", "alone-1"})
	f("StatefulSet", "db", "", Owner{"k8s.statefulset.name", "db"})
	f("DaemonSet", "agent", "", Owner{"k8s.daemonset.name", "agent"})
	f("Job", "report-29384100", "", Owner{"k8s.cronjob.name", "report"}, Owner{"k8s.job.name", "report-29384100"})
	f("Job", "migrate-2", "", Owner{"k8s.job.name", "migrate-2"})
	f("Job", "migrate", "", Owner{"k8s.job.name", "migrate"})
	f("Workflow", "other", "")
}
