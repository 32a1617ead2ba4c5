package attribution

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/promdiscovery"
)

// Labels of a process that relabel_configs see besides those of its target.
const (
	metaPID         = "__meta_process_pid"
	metaExecutable  = "__meta_process_executable_path"
	metaName        = "__meta_process_executable_name"
	metaCommandLine = "__meta_process_command_line"
	metaUID         = "__meta_process_uid"
	metaContainer   = "__meta_process_container_id"
	serviceLabel    = "service_name"
)

// Attributes holds the resource attributes of a process' profiles, without those of the
// process itself, which Put adds.
type Attributes map[string]string

// Of returns the attributes of a process, and false if a rule drops it. After relabelling
// each label becomes the attribute of the same name, except labels that start with two
// underscores; service_name becomes service.name. targets may be nil.
func Of(p Process, targets *Targets, rules []*relabel.Config) (Attributes, bool) {
	var target model.LabelSet
	if targets != nil {
		target = targets.find(p)
	}
	b := labels.NewBuilder(labels.EmptyLabels())
	for name, value := range target {
		b.Set(string(name), string(value))
	}
	for name, value := range map[string]string{
		metaPID: strconv.Itoa(p.PID), metaExecutable: p.Executable, metaName: p.Name(), metaCommandLine: p.CommandLine,
		metaUID: p.UID, metaContainer: p.ContainerID,
	} {
		b.Set(name, value)
	}
	if !relabel.ProcessBuilder(b, rules...) {
		return nil, false
	}
	out := Attributes{}
	kubernetes(out, target)
	docker(out, target)
	out.set("service.name", serviceName(p, target))
	b.Range(func(l labels.Label) {
		switch {
		case strings.HasPrefix(l.Name, model.ReservedLabelPrefix):
		case l.Name == serviceLabel:
			out.set("service.name", l.Value)
		default:
			out.set(l.Name, l.Value)
		}
	})
	return out, true
}

func (a Attributes) set(key, value string) {
	if value != "" {
		a[key] = value
	}
}

// Put writes the attributes of a process to a resource, in a stable order.
func (a Attributes) Put(to pcommon.Map, p Process) {
	to.EnsureCapacity(len(a) + 4)
	to.PutInt("process.pid", int64(p.PID))
	if p.Executable != "" {
		to.PutStr("process.executable.path", p.Executable)
		to.PutStr("process.executable.name", p.Name())
	}
	if p.ContainerID != "" {
		to.PutStr("container.id", p.ContainerID)
	}
	for _, key := range slices.Sorted(maps.Keys(a)) {
		to.PutStr(key, a[key])
	}
}

const kubernetesPod = "__meta_kubernetes_pod_"

// kubernetes adds the attributes of the pod that Prometheus' service discovery found,
// with names from the semantic conventions.
// https://opentelemetry.io/docs/specs/semconv/resource/k8s/
func kubernetes(out Attributes, target model.LabelSet) {
	pod := func(label string) string { return string(target[model.LabelName(kubernetesPod+label)]) }
	out.set("k8s.namespace.name", string(target["__meta_kubernetes_namespace"]))
	out.set("k8s.pod.name", pod("name"))
	out.set("k8s.pod.uid", pod("uid"))
	out.set("k8s.container.name", pod("container_name"))
	out.set("k8s.node.name", pod("node_name"))
	for _, owner := range promdiscovery.PodOwners(labelOf(target)) {
		out.set(owner.Attribute, owner.Name)
	}
}

// labelOf returns a target's labels by name.
func labelOf(target model.LabelSet) func(string) string {
	return func(name string) string { return string(target[model.LabelName(name)]) }
}

// docker adds the attributes of the container that Prometheus' Docker discovery found.
func docker(out Attributes, target model.LabelSet) {
	out.set("container.name", strings.TrimPrefix(string(target["__meta_docker_container_name"]), "/"))
}

// serviceName returns the first service name that is set: by annotations of the pod, by
// the process' environment, by other labels of the target. Otherwise it is the
// executable's name.
func serviceName(p Process, target model.LabelSet) string {
	label := labelOf(target)
	for _, name := range []string{promdiscovery.AnnotatedService(label), p.ServiceName, promdiscovery.Service(label)} {
		if name != "" {
			return name
		}
	}
	return p.Name()
}
