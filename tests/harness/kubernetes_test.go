package harness

import (
	"context"
	"io"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/invar-otel/invar/tests/process"
)

// podList has the fields of a v1.PodList that the tests read.
type podList struct {
	Items []struct {
		Metadata struct{ Namespace, Name, UID string }
		Spec     struct{ NodeName string }
		Status   struct {
			Phase, PodIP      string
			ContainerStatuses []struct{ ContainerID string }
		}
	}
}

// cart is a pod on the node worker, and its status once it runs.
var (
	cart = map[string]any{
		"metadata": map[string]any{"name": "cart"},
		"spec":     map[string]any{"nodeName": "worker", "containers": []any{map[string]any{"name": "app", "image": "cart:1"}}},
	}
	cartStatus = map[string]any{
		"phase": "Running", "podIP": "10.1.2.3",
		"containerStatuses": []any{map[string]any{"name": "app", "containerID": "containerd://abc", "ready": true}},
	}
)

// TestKubernetes writes objects as an administrator and a kubelet do, and reads them as
// the collector does.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	k := Kubernetes(t)
	k.CreateNamespace("shop")
	nodeUID := k.CreateNode(map[string]any{
		"metadata": map[string]any{"name": "worker"},
		"status":   map[string]any{"addresses": []any{map[string]any{"type": "InternalIP", "address": "10.1.0.1"}}},
	})
	uid := k.CreatePod("shop", cart)

	var pods podList
	require.NoError(t, k.Do(k.Token, http.MethodGet, "/api/v1/pods?fieldSelector=spec.nodeName%3Dworker", nil, &pods))
	require.Len(t, pods.Items, 1)
	require.Equal(t, "Pending", pods.Items[0].Status.Phase)

	k.UpdatePodStatus("shop", "cart", cartStatus)
	pods = podList{}
	require.NoError(t, k.Do(k.Token, http.MethodGet, "/api/v1/namespaces/shop/pods", nil, &pods))
	require.Len(t, pods.Items, 1)
	pod := pods.Items[0]
	require.Equal(t, []string{"shop", "cart", uid, "worker"},
		[]string{pod.Metadata.Namespace, pod.Metadata.Name, pod.Metadata.UID, pod.Spec.NodeName})
	require.Equal(t, []string{"Running", "10.1.2.3"}, []string{pod.Status.Phase, pod.Status.PodIP})
	require.Len(t, pod.Status.ContainerStatuses, 1)
	require.Equal(t, "containerd://abc", pod.Status.ContainerStatuses[0].ContainerID)

	var node struct {
		Metadata struct{ UID string }
		Status   struct{ Addresses []struct{ Address string } }
	}
	require.NoError(t, k.Do(k.Token, http.MethodGet, "/api/v1/nodes/worker", nil, &node))
	require.Equal(t, nodeUID, node.Metadata.UID)
	require.Len(t, node.Status.Addresses, 1)
	require.Equal(t, "10.1.0.1", node.Status.Addresses[0].Address)

	const cartPath = "/api/v1/namespaces/shop/pods/cart"
	for _, refused := range []struct {
		name, token, method, path string
		object                    any
		status                    string
	}{
		{"create", k.Token, http.MethodPost, "/api/v1/namespaces/shop/pods", cart, "403 Forbidden"},
		{"status", k.Token, http.MethodPatch, cartPath + "/status", map[string]any{"status": cartStatus}, "403 Forbidden"},
		{"delete", k.Token, http.MethodDelete, cartPath, nil, "403 Forbidden"},
		{"another resource", k.Token, http.MethodGet, "/api/v1/namespaces/shop/secrets", nil, "403 Forbidden"},
		{"unknown token", "guess", http.MethodGet, "/api/v1/pods", nil, "401 Unauthorized"},
	} {
		t.Run(refused.name, func(t *testing.T) {
			err := k.Do(refused.token, refused.method, refused.path, refused.object, nil)
			require.ErrorContains(t, err, "answered "+refused.status)
		})
	}

	k.Delete(cartPath)
	pods = podList{}
	require.NoError(t, k.Do(k.Token, http.MethodGet, "/api/v1/pods", nil, &pods))
	require.Empty(t, pods.Items)
}

// TestKubernetesRestart stops a server while a collector watches it. The next server
// must return what the first stored.
func TestKubernetesRestart(t *testing.T) {
	t.Parallel()
	k := Kubernetes(t)
	k.CreateNamespace("shop")
	uid := k.CreatePod("shop", cart)

	ctx, cancel := context.WithTimeout(context.Background(), 4*process.StopTimeout)
	defer cancel()
	watch, err := k.send(ctx, k.Token, http.MethodGet, "/api/v1/pods?watch=1", nil)
	require.NoError(t, err)
	defer watch.Body.Close()
	require.Equal(t, http.StatusOK, watch.StatusCode)
	require.NoError(t, k.Stop(), "an open watch must not hold it up")
	seen, err := io.ReadAll(watch.Body)
	require.NoError(t, err, "the server ends the watch")
	require.Contains(t, string(seen), uid)

	k.Restart(t)
	var pods podList
	require.NoError(t, k.Do(k.Token, http.MethodGet, "/api/v1/pods", nil, &pods))
	require.Len(t, pods.Items, 1)
	require.Equal(t, uid, pods.Items[0].Metadata.UID)
}

// TestKubeconfig checks that the file agrees with the fields of the server.
func TestKubeconfig(t *testing.T) {
	t.Parallel()
	k := Kubernetes(t)
	data, err := os.ReadFile(k.Kubeconfig)
	require.NoError(t, err)
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `yaml:"server"`
				CA     string `yaml:"certificate-authority"`
			}
		}
		Users []struct {
			User struct{ Token string }
		}
	}
	require.NoError(t, yaml.Unmarshal(data, &config))
	require.Len(t, config.Clusters, 1)
	require.Len(t, config.Users, 1)
	require.Equal(t, []string{k.URL, k.CAFile, k.Token},
		[]string{config.Clusters[0].Cluster.Server, config.Clusters[0].Cluster.CA, config.Users[0].User.Token})
}
