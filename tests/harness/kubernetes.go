package harness

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// collectorUser is the collector's user name at the API server.
const collectorUser = "invar"

// kubernetesTokens is the token file of the API server. The verbs stand for the tokens
// of the administrator and of the collector.
const kubernetesTokens = `%s,admin,admin,system:masters
%s,` + collectorUser + `,` + collectorUser + `
`

// kubeconfig is the collector's kubeconfig. The verbs stand for the URL, the CA file and
// the token.
const kubeconfig = `apiVersion: v1
kind: Config
current-context: harness
contexts: [{name: harness, context: {cluster: harness, user: ` + collectorUser + `}}]
clusters: [{name: harness, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: ` + collectorUser + `, user: {token: %q}}]
`

// KubernetesServer is a real kube-apiserver with its own etcd. Nothing else of
// Kubernetes runs: no kubelet starts pods, no scheduler assigns nodes and no
// controller cleans up. Objects stay as the test writes them. Its methods are for the
// test's goroutine.
type KubernetesServer struct {
	*Process
	// URL is its base URL, https, without a slash at the end.
	URL string
	// CAFile is the path of the CA certificate, in PEM.
	CAFile string
	// AdminToken is the bearer token of a user with all permissions.
	AdminToken string
	// Token is the collector's bearer token. Its user may only get, list and watch
	// pods and nodes.
	Token string
	// Kubeconfig is the path of a kubeconfig with URL, CAFile and Token.
	Kubeconfig string

	args   []string
	client *http.Client
}

// Kubernetes starts a server with an empty store and waits until it is ready and the
// collector's permissions are in effect.
func Kubernetes(t testing.TB) *KubernetesServer {
	t.Helper()
	dir := t.TempDir()
	addr := FreeAddr(t)
	k := &KubernetesServer{
		URL: "https://" + addr, AdminToken: rand.Text(), Token: rand.Text(),
		CAFile: filepath.Join(dir, "ca.crt"), Kubeconfig: filepath.Join(dir, "kubeconfig"),
	}
	certificate, key := loopbackCertificate(t)
	keyFile, tokenFile := filepath.Join(dir, "tls.key"), filepath.Join(dir, "tokens.csv")
	for path, data := range map[string][]byte{
		k.CAFile:     certificate,
		keyFile:      key,
		tokenFile:    fmt.Appendf(nil, kubernetesTokens, k.AdminToken, k.Token),
		k.Kubeconfig: fmt.Appendf(nil, kubeconfig, k.URL, k.CAFile, k.Token),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(certificate)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	k.client = &http.Client{Transport: transport}
	k.args = []string{
		"--etcd-servers=" + etcd(t, filepath.Join(dir, "etcd")),
		"--bind-address=127.0.0.1", "--secure-port=" + Port(t, addr),
		"--tls-cert-file=" + k.CAFile, "--tls-private-key-file=" + keyFile,
		"--token-auth-file=" + tokenFile, "--authorization-mode=RBAC",
		// No controller creates the service accounts that pods would need, but the
		// server does not start without a key and an issuer for them.
		"--disable-admission-plugins=ServiceAccount",
		"--service-account-key-file=" + k.CAFile, "--service-account-signing-key-file=" + keyFile,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
		// By default the server uses the address of the default route, which not every
		// machine has.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		// Without it, shutdown waits a minute for clients that watch.
		"--shutdown-watch-termination-grace-period=1s",
	}
	k.Restart(t)
	k.grantCollector()
	return k
}

// Restart starts the server again on the same etcd, after it was stopped or killed.
// Tokens, certificate and address stay the same.
func (k *KubernetesServer) Restart(t testing.TB) {
	t.Helper()
	k.Process = start(t, exec.Command(Binary(t, "servers/kube-apiserver"), k.args...))
	k.eventuallyGet(k.AdminToken, "/readyz")
}

// CreateNamespace creates a namespace and returns its UID.
func (k *KubernetesServer) CreateNamespace(name string) string {
	k.t.Helper()
	return k.create("/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": name}})
}

// CreateNode creates a node, including its status, and returns its UID. node must
// encode to the JSON of a v1.Node.
func (k *KubernetesServer) CreateNode(node any) string {
	k.t.Helper()
	return k.create("/api/v1/nodes", node)
}

// CreatePod creates a pod and returns its UID. pod must encode to the JSON of a v1.Pod.
// The API server ignores its status; see UpdatePodStatus. Nothing schedules pods, so
// spec.nodeName must be set.
func (k *KubernetesServer) CreatePod(namespace string, pod any) string {
	k.t.Helper()
	return k.create("/api/v1/namespaces/"+namespace+"/pods", pod)
}

// UpdatePodStatus merges status into the status of a pod, as a kubelet does. status must
// encode to the JSON of a v1.PodStatus. Lists in it replace existing lists.
func (k *KubernetesServer) UpdatePodStatus(namespace, name string, status any) {
	k.t.Helper()
	path := "/api/v1/namespaces/" + namespace + "/pods/" + name + "/status"
	if err := k.Do(k.AdminToken, http.MethodPatch, path, map[string]any{"status": status}, nil); err != nil {
		k.t.Fatal(err)
	}
}

// Delete deletes the object at a path like "/api/v1/namespaces/shop/pods/cart", without
// a grace period. A namespace is only marked as terminating, because no controller
// empties it.
func (k *KubernetesServer) Delete(path string) {
	k.t.Helper()
	if err := k.Do(k.AdminToken, http.MethodDelete, path+"?gracePeriodSeconds=0", nil, nil); err != nil {
		k.t.Fatal(err)
	}
}

// Do sends a request to the API as the user of a token and decodes the JSON of the
// response into answer if that is not nil. The body is the JSON of object, or empty if
// object is nil. PATCH is a JSON merge patch (RFC 7396). A response other than 2xx is
// an error with the status and the server's reason.
func (k *KubernetesServer) Do(token, method, path string, object, answer any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	resp, err := k.send(ctx, token, method, path, object)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: kube-apiserver answered %s: %s", method, path, resp.Status, body)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}

// send returns the response to a request. The caller must close its body.
func (k *KubernetesServer) send(ctx context.Context, token, method, path string, object any) (*http.Response, error) {
	var body io.Reader
	if object != nil {
		data, err := json.Marshal(object)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, k.URL+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	switch {
	case method == http.MethodPatch:
		req.Header.Set("Content-Type", "application/merge-patch+json")
	case object != nil:
		req.Header.Set("Content-Type", "application/json")
	}
	return k.client.Do(req)
}

// create posts an object to its collection and returns the object's UID.
func (k *KubernetesServer) create(path string, object any) string {
	k.t.Helper()
	var created struct{ Metadata struct{ UID string } }
	if err := k.Do(k.AdminToken, http.MethodPost, path, object, &created); err != nil {
		k.t.Fatal(err)
	}
	return created.Metadata.UID
}

// grantCollector allows the collector's user to read pods and nodes, and waits until the
// server's authorizer grants it.
func (k *KubernetesServer) grantCollector() {
	k.t.Helper()
	metadata := map[string]any{"name": collectorUser}
	k.create("/apis/rbac.authorization.k8s.io/v1/clusterroles", map[string]any{
		"metadata": metadata,
		"rules": []any{map[string]any{
			"apiGroups": []string{""}, "resources": []string{"pods", "nodes"}, "verbs": []string{"get", "list", "watch"},
		}},
	})
	k.create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", map[string]any{
		"metadata": metadata,
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": collectorUser},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": collectorUser}},
	})
	k.eventuallyGet(k.Token, "/api/v1/pods")
}

// eventuallyGet waits until a path can be read with a token.
func (k *KubernetesServer) eventuallyGet(token, path string) {
	k.t.Helper()
	Eventually(k.t, serverTimeout, func() error {
		if err := k.ended(); err != nil {
			k.t.Fatal(err)
		}
		return k.Do(token, http.MethodGet, path, nil, nil)
	})
}

// etcd starts an etcd that stores its data in dir, waits until it is ready and returns
// its URL.
func etcd(t testing.TB, dir string) string {
	t.Helper()
	client, peer := "http://"+FreeAddr(t), "http://"+FreeAddr(t)
	p := start(t, exec.Command(Binary(t, "servers/etcd"),
		"--data-dir="+dir, "--log-level=warn",
		"--unsafe-no-fsync", // the data ends with the test
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
	))
	waitHTTP(t, p, client+"/health")
	return client
}

// loopbackCertificate returns a self-signed CA certificate for 127.0.0.1 and its key,
// both in PEM.
func loopbackCertificate(t testing.TB) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:        true, BasicConstraintsValid: true,
	}
	certificate, certificateErr := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	key, keyErr := x509.MarshalPKCS8PrivateKey(private)
	if err := errors.Join(certificateErr, keyErr); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
}
