package attribution

import (
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/assert"
)

func TestTargets(t *testing.T) {
	found := NewTargets([]*targetgroup.Group{
		{
			Labels: model.LabelSet{"group": "g", "env": "prod"},
			Targets: []model.LabelSet{
				{"__meta_kubernetes_pod_container_id": "containerd://aa", "port": "81"},
				{"__meta_kubernetes_pod_container_id": "containerd://aa", "port": "80"},
				{"__meta_docker_container_id": "bb", "env": "test"},
				{"__container_id__": "docker://cc"},
				{"__process_pid__": "7", "by": "pid"},
			},
		},
		{Targets: []model.LabelSet{
			{"__container_id__": "aa", "port": "90"},
			{"__process_pid__": "7", "by": "a later pid"},
			{"__process_pid__": "seven"},
			{"__container_id__": ""},
			{"__container_id__": "containerd://"},
		}},
		{Labels: model.LabelSet{"__process_pid__": "8"}, Targets: []model.LabelSet{{}}},
		{},
	})
	assert.Equal(t, 5, found.Len())
	f := func(p Process, want model.LabelSet) {
		t.Helper()
		assert.Equal(t, want, found.find(p))
	}
	f(Process{PID: 1}, nil)
	f(Process{PID: 1, ContainerID: "zz"}, nil)
	f(Process{PID: 1, ContainerID: "aa"}, model.LabelSet{"__container_id__": "aa", "port": "90"})
	f(Process{PID: 1, ContainerID: "bb"}, model.LabelSet{"group": "g", "env": "test", "__meta_docker_container_id": "bb"})
	f(Process{PID: 1, ContainerID: "cc"}, model.LabelSet{"group": "g", "env": "prod", "__container_id__": "docker://cc"})
	f(Process{PID: 7, ContainerID: "aa"}, model.LabelSet{"__process_pid__": "7", "by": "a later pid"})
	f(Process{PID: 8}, model.LabelSet{"__process_pid__": "8"})
}

// The target of a container does not depend on the order of its ports.
func TestPorts(t *testing.T) {
	a := model.LabelSet{"__container_id__": "aa", "__meta_kubernetes_pod_container_port_number": "80"}
	b := model.LabelSet{"__container_id__": "aa", "__meta_kubernetes_pod_container_port_number": "81"}
	p := Process{ContainerID: "aa"}
	assert.Equal(t, a, targets(a, b).find(p))
	assert.Equal(t, a, targets(b, a).find(p))
	assert.Equal(t, 1, targets(a, b).Len())
}
