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

// collectorUser is who the collector is for the API server.
const collectorUser = "invar"

// kubernetesTokens are the API server's users. The filled-in parts are the tokens
// of the administrator and of the collector.
const kubernetesTokens = `%s,admin,admin,system:masters
%s,` + collectorUser + `,` + collectorUser + `
`

// kubeconfig is the collector's. The filled-in parts are the URL, the file of the
// CA and the token.
const kubeconfig = `apiVersion: v1
kind: Config
current-context: harness
contexts: [{name: harness, context: {cluster: harness, user: ` + collectorUser + `}}]
clusters: [{name: harness, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: ` + collectorUser + `, user: {token: %q}}]
`

// KubernetesServer is a real kube-apiserver with an etcd of its own. Nothing else
// of Kubernetes runs: no kubelet starts pods, no scheduler gives them nodes and no
// controller cleans up, so that objects are as the test writes them. Its methods
// are for the test's goroutine.
type KubernetesServer struct {
	*Process
	// URL is its base URL, https, without a slash at the end.
	URL string
	// CAFile has the certificate to trust, in PEM.
	CAFile string
	// AdminToken is a bearer token that may do everything.
	AdminToken string
	// Token is the collector's bearer token. It may get, list and watch pods and
	// nodes and do nothing else.
	Token string
	// Kubeconfig is the path of a kubeconfig with URL, CAFile and Token.
	Kubeconfig string

	args   []string
	client *http.Client
}

// Kubernetes starts a server with an empty store and waits until it is ready and
// knows what the collector may do.
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
		// No controller makes the service accounts that pods would need. The
		// server does not start without a key and a name for them all the same.
		"--disable-admission-plugins=ServiceAccount",
		"--service-account-key-file=" + k.CAFile, "--service-account-signing-key-file=" + keyFile,
		"--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24",
		// Else it looks for the address of a default route, which not every machine has.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		// Without it, a shutdown waits a minute for clients that watch.
		"--shutdown-watch-termination-grace-period=1s",
	}
	k.Restart(t)
	k.grantCollector()
	return k
}

// Restart starts the server again with what etcd has stored, after it was stopped
// or killed. Tokens, certificate and address stay.
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

// CreateNode creates a node from what encodes to the JSON of a v1.Node, status
// included, and returns its UID.
func (k *KubernetesServer) CreateNode(node any) string {
	k.t.Helper()
	return k.create("/api/v1/nodes", node)
}

// CreatePod creates a pod from what encodes to the JSON of a v1.Pod and returns its
// UID. It is pending whatever status it has, see UpdatePodStatus. As nothing
// schedules pods, spec.nodeName says where it is.
func (k *KubernetesServer) CreatePod(namespace string, pod any) string {
	k.t.Helper()
	return k.create("/api/v1/namespaces/"+namespace+"/pods", pod)
}

// UpdatePodStatus does what a kubelet does: it merges what encodes to the JSON of a
// v1.PodStatus into the status of a pod. Lists in it replace what was there.
func (k *KubernetesServer) UpdatePodStatus(namespace, name string, status any) {
	k.t.Helper()
	path := "/api/v1/namespaces/" + namespace + "/pods/" + name + "/status"
	if err := k.Do(k.AdminToken, http.MethodPatch, path, map[string]any{"status": status}, nil); err != nil {
		k.t.Fatal(err)
	}
}

// Delete removes the object of a path, as "/api/v1/namespaces/shop/pods/cart",
// without the time that pods get to end. A namespace is marked only: no controller
// empties it.
func (k *KubernetesServer) Delete(path string) {
	k.t.Helper()
	if err := k.Do(k.AdminToken, http.MethodDelete, path+"?gracePeriodSeconds=0", nil, nil); err != nil {
		k.t.Fatal(err)
	}
}

// Do sends a request to the API as the user of a token and decodes the JSON of the
// answer into answer, unless that is nil. object is what the body encodes, nil for
// none; PATCH is a JSON merge patch (RFC 7396). An answer other than 2xx is an error
// with the status and the server's reason.
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

// send gives the answer to a request. The caller closes its body.
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

// create posts an object to its collection and returns the UID it got.
func (k *KubernetesServer) create(path string, object any) string {
	k.t.Helper()
	var created struct{ Metadata struct{ UID string } }
	if err := k.Do(k.AdminToken, http.MethodPost, path, object, &created); err != nil {
		k.t.Fatal(err)
	}
	return created.Metadata.UID
}

// grantCollector lets the collector's user read pods and nodes and waits until the
// server's authorizer has heard of it.
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

// etcd starts a server that stores in dir, waits until it answers and returns its
// URL.
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

// loopbackCertificate gives a certificate for 127.0.0.1 that is its own CA and its
// key, both in PEM.
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
