package pprofscrapereceiver

import (
	"net"
	"regexp"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
)

const (
	podAnnotation = "__meta_kubernetes_pod_annotation_"
	// profileAnnotations is the prefix of the labels for the annotations
	// profiles.grafana.com/*.
	profileAnnotations = podAnnotation + "profiles_grafana_com_"

	podNamespace  = "__meta_kubernetes_namespace"
	podName       = "__meta_kubernetes_pod_name"
	podPhase      = "__meta_kubernetes_pod_phase"
	podPortNumber = "__meta_kubernetes_pod_container_port_number"
	podPortName   = "__meta_kubernetes_pod_container_port_name"
	podInit       = "__meta_kubernetes_pod_container_init"
)

// pod identifies a pod. Its targets are its ports and its containers without ports.
type pod struct{ namespace, name string }

// pods are the pods of a group of targets, which is a pod or a service's endpoints.
type pods struct {
	targets []podTarget   // in the order of the group
	indexes map[pod][]int // in targets
}

type podTarget struct {
	pod
	port string
	init bool
}

func podsOf(group *targetgroup.Group) pods {
	p := pods{targets: make([]podTarget, len(group.Targets)), indexes: map[pod][]int{}}
	for i, own := range group.Targets {
		get := func(name model.LabelName) string {
			if v, ok := own[name]; ok {
				return string(v)
			}
			return string(group.Labels[name])
		}
		t := podTarget{pod: pod{get(podNamespace), get(podName)}, port: get(podPortNumber), init: get(podInit) == "true"}
		p.targets[i] = t
		p.indexes[t.pod] = append(p.indexes[t.pod], i)
	}
	return p
}

var (
	notRunning = regexp.MustCompile(`^(Pending|Succeeded|Failed|Completed)$`)
	schemes    = regexp.MustCompile(`^https?$`)
	ports      = regexp.MustCompile(`^[0-9]+$`)
)

// choose reports whether the annotations of the pod of target i select the profile
// called key, and sets the address, scheme and path that they name in lb. It returns
// !required for pods without annotations.
//
// The annotations are those of Grafana's Kubernetes charts: scrape, port, port_name,
// scheme and path for each profile.
func (p pods) choose(lb *labels.Builder, i int, key string, required bool) bool {
	annotated := false
	lb.Range(func(l labels.Label) { annotated = annotated || strings.HasPrefix(l.Name, profileAnnotations) })
	if !annotated {
		return !required
	}
	get := func(setting string) string {
		if key == "process_cpu" {
			if v := lb.Get(profileAnnotations + "cpu_" + setting); v != "" {
				return v
			}
		}
		return lb.Get(profileAnnotations + key + "_" + setting)
	}
	if get("scrape") != "true" || notRunning.MatchString(lb.Get(podPhase)) {
		return false
	}
	port, portName := get("port"), get("port_name")
	switch {
	case portName != "" && portName != lb.Get(podPortName):
		return false
	case portName == "" && ports.MatchString(port) && !p.represents(i, port):
		return false
	}
	if scheme := get("scheme"); schemes.MatchString(scheme) {
		lb.Set(model.SchemeLabel, scheme)
	}
	if path := get("path"); path != "" {
		lb.Set(labelPath, path)
	}
	if ports.MatchString(port) {
		lb.Set(model.AddressLabel, withPort(lb.Get(model.AddressLabel), port))
	}
	return true
}

// represents reports whether target i is the one of its pod that represents a port:
// the port itself, or the first container if none declares the port. Otherwise every
// port of the pod would lead to a target for the annotated one.
func (p pods) represents(i int, port string) bool {
	first := -1
	for _, other := range p.indexes[p.targets[i].pod] {
		t := p.targets[other]
		if t.port == port {
			return other == i
		}
		if first < 0 || p.targets[first].init && !t.init {
			first = other
		}
	}
	return first == i
}

// withPort returns an address with its port replaced or added.
func withPort(address, port string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	return net.JoinHostPort(host, port)
}
