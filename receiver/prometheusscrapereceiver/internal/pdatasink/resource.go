package pdatasink

import (
	"net"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

// resourceKey identifies a resource. A scrape of a federation endpoint or a push gateway has
// many.
type resourceKey struct {
	job, instance string
}

type resource struct {
	resourceKey
	pdata  pcommon.Resource
	plain  int32 // index of the scope of metrics without scope labels, or none
	scopes chain
}

// resourceOf returns the resource of a sample, and adds it if it is new. Job and instance are
// those of the series or, if it has none, of the target: aggregates from a federation
// endpoint belong to no single instance.
func (t *transaction) resourceOf(s *sample) (int32, error) {
	key := resourceKey{s.job, s.instance}
	if key.job == "" {
		key.job = t.target.GetValue(model.JobLabel)
	}
	if key.instance == "" {
		key.instance = t.target.GetValue(model.InstanceLabel)
	}
	if t.lastResource != none && t.resources[t.lastResource].resourceKey == key {
		return t.lastResource, nil
	}
	if key.job == "" || key.instance == "" {
		return none, errNoIdentity
	}
	i, known := t.resourceIDs[key]
	if !known {
		i = int32(len(t.resources))
		discovered := t.target.DiscoveredLabels(&t.builder)
		t.resources = append(t.resources, resource{resourceKey: key, pdata: newResource(key, discovered), plain: none})
		t.resourceIDs[key] = i
	}
	t.lastResource = i
	return i, nil
}

// describe adds the labels of a target_info series to the resource's attributes.
func (r *resource) describe(info labels.Labels) {
	attributes := r.pdata.Attributes()
	info.Range(func(l labels.Label) {
		switch l.Name {
		case model.MetricNameLabel, model.JobLabel, model.InstanceLabel:
		default:
			attributes.PutStr(l.Name, l.Value)
		}
	})
}

func newResource(key resourceKey, discovered labels.Labels) pcommon.Resource {
	host, port, err := net.SplitHostPort(key.instance)
	if err != nil {
		host, port = key.instance, ""
	}
	r := pcommon.NewResource()
	attributes := r.Attributes()
	attributes.EnsureCapacity(5)
	attributes.PutStr("service.name", key.job)
	attributes.PutStr("service.instance.id", key.instance)
	if namesHost(host) {
		attributes.PutStr("server.address", host)
	}
	attributes.PutStr("server.port", port)
	attributes.PutStr("url.scheme", discovered.Get(model.SchemeLabel))

	for _, m := range fromKubernetes {
		if v := discovered.Get(m.label); v != "" {
			attributes.PutStr(m.attribute, v)
		}
	}
	controller := discovered.Get("__meta_kubernetes_pod_controller_name")
	attribute, known := controllerNames[discovered.Get("__meta_kubernetes_pod_controller_kind")]
	if known && controller != "" {
		attributes.PutStr(attribute, controller)
	}
	return r
}

// namesHost reports whether the address means the same host to everyone. It is false for
// loopback and unspecified addresses.
func namesHost(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return !ip.IsLoopback() && !ip.IsUnspecified()
	}
	return host != "localhost"
}

// fromKubernetes maps labels of Kubernetes service discovery to resource attributes. Each
// role has its own label for the node.
var fromKubernetes = []struct{ label, attribute string }{
	{"__meta_kubernetes_namespace", "k8s.namespace.name"},
	{"__meta_kubernetes_pod_name", "k8s.pod.name"},
	{"__meta_kubernetes_pod_uid", "k8s.pod.uid"},
	{"__meta_kubernetes_pod_container_name", "k8s.container.name"},
	{"__meta_kubernetes_node_name", "k8s.node.name"},
	{"__meta_kubernetes_pod_node_name", "k8s.node.name"},
	{"__meta_kubernetes_endpoint_node_name", "k8s.node.name"},
}

// controllerNames maps the kind of a pod's controller to the attribute for its name.
var controllerNames = map[string]string{
	"CronJob":     "k8s.cronjob.name",
	"DaemonSet":   "k8s.daemonset.name",
	"Job":         "k8s.job.name",
	"ReplicaSet":  "k8s.replicaset.name",
	"StatefulSet": "k8s.statefulset.name",
}
