package promdiscovery

import (
	"strconv"
	"strings"
)

const pod = "__meta_kubernetes_pod_"

// Owner is a workload that owns a pod.
type Owner struct {
	// Attribute is the resource attribute for the name, like k8s.deployment.name.
	Attribute string
	Name      string
}

// PodOwners returns the owners of a target's pod, outermost first: a Deployment before its
// ReplicaSet, a CronJob before its Job. label returns a label of the target by name, as set by
// Prometheus' service discovery.
// https://opentelemetry.io/docs/specs/semconv/resource/k8s/
func PodOwners(label func(name string) string) []Owner {
	name := label(pod + "controller_name")
	if name == "" {
		return nil
	}
	switch kind := label(pod + "controller_kind"); kind {
	case "ReplicaSet":
		owners := []Owner{{"k8s.replicaset.name", name}}
		// The name of a Deployment's ReplicaSet ends in a hash, which is also a label of
		// its pods.
		if hash := label(pod + "label_pod_template_hash"); hash != "" {
			if deployment, ok := strings.CutSuffix(name, "-"+hash); ok {
				owners = append([]Owner{{"k8s.deployment.name", deployment}}, owners...)
			}
		}
		return owners
	case "Job":
		owners := []Owner{{"k8s.job.name", name}}
		// The name of a CronJob's Job ends in the minute it was scheduled for, counted
		// from 1970.
		if cronJob, minute, ok := cutLast(name, "-"); ok && len(minute) >= 8 {
			if _, err := strconv.ParseUint(minute, 10, 64); err == nil {
				owners = append([]Owner{{"k8s.cronjob.name", cronJob}}, owners...)
			}
		}
		return owners
	case "StatefulSet", "DaemonSet":
		return []Owner{{"k8s." + strings.ToLower(kind) + ".name", name}}
	}
	return nil
}

// cutLast splits s at the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// AnnotatedService returns the service name from annotations of a target's pod, or "".
func AnnotatedService(label func(name string) string) string {
	return first(label, pod+"annotation_resource_opentelemetry_io_service_name", pod+"annotation_pyroscope_io_service_name")
}

// Service returns the name of the service that a target's pod or container belongs to, or "".
// It is the first that is set of: an annotation, the labels app.kubernetes.io/instance and
// app.kubernetes.io/name, the outermost owner of the pod, the pod, the name of the Docker
// container, the Docker Swarm service. All components use it, so their names agree.
// https://opentelemetry.io/docs/specs/semconv/non-normative/k8s-attributes/
func Service(label func(name string) string) string {
	if name := AnnotatedService(label); name != "" {
		return name
	}
	if name := first(label, pod+"label_app_kubernetes_io_instance", pod+"label_app_kubernetes_io_name"); name != "" {
		return name
	}
	if owners := PodOwners(label); len(owners) > 0 {
		return owners[0].Name
	}
	if name := label(pod + "name"); name != "" {
		return name
	}
	// Docker's names begin with a slash.
	if name := strings.TrimPrefix(label("__meta_docker_container_name"), "/"); name != "" {
		return name
	}
	return first(label, "__meta_dockerswarm_container_label_service_name", "__meta_dockerswarm_service_name")
}

// first returns the first non-empty label, or "".
func first(label func(string) string, names ...string) string {
	for _, name := range names {
		if value := label(name); value != "" {
			return value
		}
	}
	return ""
}
