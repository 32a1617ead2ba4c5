package attribution

import (
	"maps"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
)

// Labels by which a target is found for a process: that of the container it is
// in, or of the process itself. The first two of them a discovery sets, the
// others are for static_configs, file_sd_configs and http_sd_configs.
const (
	labelKubernetesContainer = "__meta_kubernetes_pod_container_id"
	labelDockerContainer     = "__meta_docker_container_id"
	labelContainer           = "__container_id__"
	labelPID                 = "__process_pid__"
)

// Targets are what discovery has found, by container and by process. It does
// not change, and may be used by several goroutines.
type Targets struct {
	byContainer map[string]model.LabelSet
	byPID       map[int]model.LabelSet
}

// NewTargets takes what discovery has found. Of several targets for one
// container, as each of its ports is one, the first in the order of their
// labels stands for it. The labels of a group are a target's own too.
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

func first(a, b model.LabelSet) model.LabelSet {
	if a == nil || b.Before(a) {
		return b
	}
	return a
}

// containerID leaves the ID of what Kubernetes writes as runtime://ID.
func containerID(s string) string {
	if _, id, ok := strings.Cut(s, "://"); ok {
		return id
	}
	return s
}

// find returns the labels of the process' target: one for the process itself
// goes before one for its container.
func (t *Targets) find(p Process) model.LabelSet {
	if labels, ok := t.byPID[p.PID]; ok {
		return labels
	}
	if p.ContainerID == "" {
		return nil
	}
	return t.byContainer[p.ContainerID]
}

// Len is the number of containers and processes that have a target.
func (t *Targets) Len() int { return len(t.byContainer) + len(t.byPID) }
