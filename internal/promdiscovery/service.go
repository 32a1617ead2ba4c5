package promdiscovery

import (
	"strconv"
	"strings"
)

const pod = "__meta_kubernetes_pod_"

// Owner is what a pod belongs to.
type Owner struct {
	// Attribute is the resource attribute for its name, like k8s.deployment.name.
	Attribute string
	Name      string
}

// PodOwners are what the pod of a target belongs to, the outermost first: a
// Deployment before its ReplicaSet, a CronJob before its Job. label returns the
// labels of the target, as Prometheus' discovery of pods sets them.
// https://opentelemetry.io/docs/specs/semconv/resource/k8s/
func PodOwners(label func(name string) string) []Owner {
	name := label(pod + "controller_name")
	if name == "" {
		return nil
	}
	switch kind := label(pod + "controller_kind"); kind {
	case "ReplicaSet":
		owners := []Owner{{"k8s.replicaset.name", name}}
		// A Deployment's ReplicaSets are called by its name and by the hash of
		// their pods, which is a label of the pods.
		if hash := label(pod + "label_pod_template_hash"); hash != "" {
			if deployment, ok := strings.CutSuffix(name, "-"+hash); ok {
				owners = append([]Owner{{"k8s.deployment.name", deployment}}, owners...)
			}
		}
		return owners
	case "Job":
		owners := []Owner{{"k8s.job.name", name}}
		// A CronJob's Jobs are called by its name and the minute they are for,
		// counted from 1970.
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

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// AnnotatedService is the name that the annotations of a target's pod give to its
// service, or "".
func AnnotatedService(label func(name string) string) string {
	return first(label, pod+"annotation_resource_opentelemetry_io_service_name", pod+"annotation_pyroscope_io_service_name")
}

// Service is the name of the service that a target's pod or container belongs to:
// the first that there is of an annotation, the labels app.kubernetes.io/instance
// and app.kubernetes.io/name, the outermost owner of the pod, the pod itself,
// Docker's name of the container, Docker Swarm's of the service. Without any it is
// "". All components name services by it, so that they agree.
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

func first(label func(string) string, names ...string) string {
	for _, name := range names {
		if value := label(name); value != "" {
			return value
		}
	}
	return ""
}
