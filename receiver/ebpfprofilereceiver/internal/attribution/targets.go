package attribution

import (
	"maps"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// Labels that assign a target to a container or a process. Service discovery sets the
// first two; the others are for static_configs, file_sd_configs and http_sd_configs.
const (
	labelKubernetesContainer = "__meta_kubernetes_pod_container_id"
	labelDockerContainer     = "__meta_docker_container_id"
	labelContainer           = "__container_id__"
	labelPID                 = "__process_pid__"
)

// Targets holds discovered targets by container and by process. It is immutable and safe
// for concurrent use.
type Targets struct {
	byContainer map[string]model.LabelSet
	byPID       map[int]model.LabelSet
}

// NewTargets indexes discovered targets. A container may have several targets, as one for
// each port: the first in the order of their labels is used. Labels of a group apply to
// its targets.
func NewTargets(groups []*targetgroup.Group) *Targets {
	t := &Targets{byContainer: map[string]model.LabelSet{}, byPID: map[int]model.LabelSet{}}
	for _, g := range groups {
		for _, own := range g.Targets {
			labels := maps.Clone(g.Labels)
			if labels == nil {
				labels = model.LabelSet{}
			}
			maps.Copy(labels, own)
			t.add(labels)
		}
	}
	return t
}

func (t *Targets) add(labels model.LabelSet) {
	for _, name := range []model.LabelName{labelKubernetesContainer, labelDockerContainer, labelContainer} {
		if id := containerID(string(labels[name])); id != "" {
			t.byContainer[id] = first(t.byContainer[id], labels)
		}
	}
	if pid, err := strconv.Atoi(string(labels[labelPID])); err == nil {
		t.byPID[pid] = first(t.byPID[pid], labels)
	}
}

// first returns the one of two label sets that sorts first. a may be nil.
func first(a, b model.LabelSet) model.LabelSet {
	if a == nil || b.Before(a) {
		return b
	}
	return a
}

// containerID returns the ID in Kubernetes' notation runtime://ID, or s.
func containerID(s string) string {
	if _, id, ok := strings.Cut(s, "://"); ok {
		return id
	}
	return s
}

// find returns the labels of the process' target, or nil. A target for the process takes
// precedence over one for its container.
func (t *Targets) find(p Process) model.LabelSet {
	if labels, ok := t.byPID[p.PID]; ok {
		return labels
	}
	if p.ContainerID == "" {
		return nil
	}
	return t.byContainer[p.ContainerID]
}

// Len returns the number of containers and processes that have a target.
func (t *Targets) Len() int { return len(t.byContainer) + len(t.byPID) }
