package pyroscopeexporter

import "strings"

// leftOutOfResources has the resource attributes that are not labels by default:
// those that differ between processes or runs, each of which would make a series of
// its own, and those that nobody selects profiles by.
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

// leftOutOfSamples has the sample attributes that are not labels by default.
// Pyroscope makes a series of every combination of a sample's labels, except span_id
// and, since version 1.20, trace_id.
var leftOutOfSamples = []string{"thread.id", "thread.name", "cpu.logical_number", "process.*"}

// names is a set of attribute names. A name that ends in * is a prefix.
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

// selection decides which attributes become labels. It does not change and is safe
// for concurrent use.
type selection struct{ include, exclude names }

func newSelection(c SelectionConfig, leftOut ...string) *selection {
	return &selection{include: newNames(c.Include), exclude: newNames(append(leftOut, c.Exclude...))}
}

// includes reports whether an attribute becomes a label: include takes precedence
// over exclude.
func (s *selection) includes(name string) bool {
	return s.include.has(name) || !s.exclude.has(name)
}

// excludes is the opposite of includes.
func (s *selection) excludes(name string) bool { return !s.includes(name) }
