package harness

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// serverTimeout bounds the time from exec until a server is ready, while other servers
// start as well.
const serverTimeout = 2 * time.Minute

// queryTimeout bounds one request to a server's API.
const queryTimeout = 5 * time.Second

// PrometheusServer is a real Prometheus that accepts remote write and OTLP.
type PrometheusServer struct {
	*Process
	// URL is its base URL, without a slash at the end.
	URL string
	// API is its query API.
	API promv1.API
}

// Prometheus starts a server with an empty database and waits until it is ready.
func Prometheus(t testing.TB, args ...string) *PrometheusServer {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: {scrape_interval: 1s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := FreeAddr(t)
	cmd := exec.Command(Binary(t, "servers/prometheus"), append([]string{
		"--config.file=" + config,
		"--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr,
		"--web.enable-remote-write-receiver",
		"--web.enable-otlp-receiver",
	}, args...)...)
	p := &PrometheusServer{Process: start(t, cmd), URL: "http://" + addr}
	client, err := api.NewClient(api.Config{Address: p.URL})
	if err != nil {
		t.Fatal(err)
	}
	p.API = promv1.NewAPI(client)
	waitHTTP(t, p.Process, p.URL+"/-/ready")
	return p
}

// Query evaluates PromQL at the current time and returns the resulting vector.
func (p *PrometheusServer) Query(promql string) (model.Vector, error) {
	ctx, cancel := context.WithTimeout(context.Background(), queryTimeout)
	defer cancel()
	value, _, err := p.API.Query(ctx, promql, time.Now())
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", promql, err)
	}
	vector, ok := value.(model.Vector)
	if !ok {
		return nil, fmt.Errorf("query %s: got a %s, want a vector", promql, value.Type())
	}
	return vector, nil
}

// NodeExporter starts a real node_exporter, waits until it answers and returns its
// address.
func NodeExporter(t testing.TB) string {
	t.Helper()
	addr := FreeAddr(t)
	p := start(t, exec.Command(Binary(t, "servers/node_exporter"), "--web.listen-address="+addr))
	waitHTTP(t, p, "http://"+addr+"/metrics")
	return addr
}

// waitHTTP waits until url answers 200.
func waitHTTP(t testing.TB, p *Process, url string) {
	t.Helper()
	client := http.Client{Timeout: queryTimeout}
	Eventually(t, serverTimeout, func() error {
		if err := p.ended(); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(url)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	})
}
