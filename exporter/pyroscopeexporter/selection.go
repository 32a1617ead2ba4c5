package pyroscopeexporter

import "strings"

// leftOutOfResources are the resource attributes that are no labels by default:
// those that differ from process to process or from run to run, each of which
// would make a series of its own, and those that nobody selects profiles by.
var leftOutOfResources = []string{
	"process.pid", "process.parent_pid", "process.vpid", "process.group_leader.*", "process.session_leader.*",
	"process.command", "process.command_line", "process.command_args", "process.args_count",
	"process.executable.path", "process.executable.build_id.*", "process.working_directory",
	"process.owner", "process.user.*", "process.real_user.*", "process.saved_user.*",
	"process.creation.time", "process.interactive", "process.title", "process.linux.cgroup",
	"process.runtime.description",
	"container.id", "container.command*", "container.image.id", "container.image.repo_digests", "container.runtime*",
	"k8s.pod.uid", "k8s.pod.ip", "k8s.pod.start_time", "k8s.node.uid", "k8s.namespace.uid",
	"k8s.deployment.uid", "k8s.replicaset.uid", "k8s.statefulset.uid", "k8s.daemonset.uid", "k8s.job.uid", "k8s.cronjob.uid",
	"host.id", "host.ip", "host.mac", "host.image.*", "host.cpu.*",
	"os.*", "service.instance.id", "telemetry.*", attributeTenant,
}

// leftOutOfSamples are the sample attributes that are no labels by default.
// Pyroscope makes a series of every combination of a sample's labels, but for
// span_id and, since version 1.20, trace_id.
var leftOutOfSamples = []string{"thread.id", "thread.name", "cpu.logical_number", "process.*"}

// names is a set of attribute names. One that ends in * stands for all that
// begin so.
type names struct {
	exact    map[string]bool
	prefixes []string
}

func newNames(list []string) names {
	n := names{exact: map[string]bool{}}
	for _, name := range list {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			n.prefixes = append(n.prefixes, prefix)
		} else {
			n.exact[name] = true
		}
	}
	return n
}

func (n *names) has(name string) bool {
	if n.exact[name] {
		return true
	}
	for _, prefix := range n.prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// selection tells which attributes become labels. It is not changed after it is
// made and may be used concurrently.
type selection struct{ include, exclude names }

func newSelection(c SelectionConfig, leftOut ...string) *selection {
	return &selection{include: newNames(c.Include), exclude: newNames(append(leftOut, c.Exclude...))}
}

// takes tells whether an attribute becomes a label: include precedes exclude.
func (s *selection) takes(name string) bool {
	return s.include.has(name) || !s.exclude.has(name)
}

func (s *selection) drops(name string) bool { return !s.takes(name) }
