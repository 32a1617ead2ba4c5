package pprofscrapereceiver

import (
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

const (
	podAnnotation = "__meta_kubernetes_pod_annotation_"
	podNamespace  = "__meta_kubernetes_namespace"
	podContainer  = "__meta_kubernetes_pod_container_name"
)

// serviceNames are where the name of a target's service is looked for, in this
// order, if relabelling has set no service_name.
var serviceNames = []func(labels.Labels) string{
	label(podAnnotation + "pyroscope_io_service_name"),
	label(podAnnotation + "resource_opentelemetry_io_service_name"),
	label("__meta_kubernetes_pod_label_app_kubernetes_io_name"),
	func(ls labels.Labels) string {
		namespace, container := ls.Get(podNamespace), ls.Get(podContainer)
		if namespace == "" || container == "" {
			return ""
		}
		return namespace + "/" + container
	},
	func(ls labels.Labels) string { // Docker's names begin with a slash
		return strings.TrimPrefix(ls.Get("__meta_docker_container_name"), "/")
	},
	label("__meta_dockerswarm_container_label_service_name"),
	label("__meta_dockerswarm_service_name"),
}

func label(name string) func(labels.Labels) string {
	return func(ls labels.Labels) string { return ls.Get(name) }
}

// serviceName is the name of the service of a target with the discovered labels
// raw, or else that of its job.
func serviceName(raw labels.Labels, job string) string {
	for _, find := range serviceNames {
		if name := find(raw); name != "" {
			return name
		}
	}
	return job
}
