package harness

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
)

// mimirConfig runs all of Mimir in one process with in-memory rings. The verbs stand for
// the data folder and the HTTP and gRPC ports.
const mimirConfig = `
multitenancy_enabled: true
usage_stats: {enabled: false}
server: {http_listen_address: 127.0.0.1, http_listen_port: %[2]s, grpc_listen_address: 127.0.0.1, grpc_listen_port: %[3]s}
common: {storage: {backend: filesystem, filesystem: {dir: %[1]s/common}}}
activity_tracker: {filepath: %[1]s/activity.log}
blocks_storage: {filesystem: {dir: %[1]s/blocks}, tsdb: {dir: %[1]s/tsdb}, bucket_store: {sync_dir: %[1]s/sync}}
ruler: {rule_path: %[1]s/rules, ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}}
ruler_storage: {filesystem: {dir: %[1]s/ruler}}
alertmanager_storage: {filesystem: {dir: %[1]s/alertmanager}}
compactor: {data_dir: %[1]s/compactor, sharding_ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}}
distributor: {ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}}
ingester: {ring: {instance_addr: 127.0.0.1, replication_factor: 1, kvstore: {store: inmemory}}}
store_gateway: {sharding_ring: {instance_addr: 127.0.0.1, replication_factor: 1, kvstore: {store: inmemory}}}
query_scheduler: {ring: {instance_addr: 127.0.0.1, kvstore: {store: inmemory}}}
frontend: {address: 127.0.0.1}
limits: {native_histograms_ingestion_enabled: true, max_global_exemplars_per_user: 1000}
`

// Mimir starts a real Mimir with an empty store and several tenants, and waits until it
// is ready. It returns the base URL, without a slash at the end.
func Mimir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "mimir.yml")
	addr := FreeAddr(t)
	text := fmt.Sprintf(mimirConfig, dir, Port(t, addr), Port(t, FreeAddr(t)))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, exec.Command(Binary(t, "servers/mimir"), "-config.file="+config, "-target=all"))
	url := "http://" + addr
	waitHTTP(t, p, url+"/ready")
	return url
}

// MimirTenant returns the query API of one tenant of a Mimir.
func MimirTenant(t testing.TB, url, tenant string) *PrometheusServer {
	t.Helper()
	client, err := api.NewClient(api.Config{Address: url + "/prometheus", RoundTripper: tenantTransport(tenant)})
	if err != nil {
		t.Fatal(err)
	}
	return &PrometheusServer{URL: url, API: promv1.NewAPI(client)}
}

// tenantTransport adds the header that names the tenant.
type tenantTransport string

// RoundTrip implements http.RoundTripper.
func (t tenantTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Scope-OrgID", string(t))
	return http.DefaultTransport.RoundTrip(r)
}
