package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// pollInterval is the shortest poll interval. A collector receives a new configuration
// within it.
const pollInterval = "10s"

// remoteCollector is the local configuration of a collector. It scrapes $TARGET into
// $SINK, and polls $FLEET for remote pipelines.
const remoteCollector = `
extensions:
  remote_config:
    connect: {endpoint: "${env:FLEET}", poll_interval: ` + pollInterval + `}
    id: ${env:ID}
    attributes: {env: "${env:ATTRIBUTE_ENV}"}
    storage_directory: ${env:STORAGE}
    probation: 1s
receivers:
  prometheus_scrape:
    config:
      scrape_configs:
        - {job_name: local, scrape_interval: 200ms, scrape_timeout: 200ms, static_configs: [{targets: ["${env:TARGET}"]}]}
exporters:
  nop:
service:
  extensions: [remote_config]
  pipelines:
    metrics: {receivers: [prometheus_scrape], exporters: [nop]}
`

// pulse is a target that records the times of scrapes.
type pulse struct {
	addr string

	mu    sync.Mutex
	times []time.Time
}

func newPulse(t *testing.T) *pulse {
	p := new(pulse)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		p.times = append(p.times, time.Now())
		p.mu.Unlock()
		_, _ = fmt.Fprintln(w, "x 1")
	}))
	t.Cleanup(server.Close)
	p.addr = strings.TrimPrefix(server.URL, "http://")
	return p
}

// worst returns the longest time between two scrapes since a point in time.
func (p *pulse) worst(since time.Time) (worst time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := since
	for _, t := range p.times {
		if t.After(since) {
			worst, last = max(worst, t.Sub(last)), t
		}
	}
	return max(worst, time.Since(last))
}

type remoteOptions struct {
	fleet  *harness.FleetServer
	id     string
	env    string
	target *pulse
	dir    string
}

// remote starts a collector that polls a fleet server.
func remote(t *testing.T, o remoteOptions) *harness.Process {
	t.Helper()
	return harness.Invar(t, harness.Options{Config: remoteCollector, Env: map[string]string{
		"FLEET": o.fleet.URL, "ID": o.id, "ATTRIBUTE_ENV": o.env, "STORAGE": o.dir, "TARGET": o.target.addr,
	}})
}

// toPrometheus returns a pipeline that receives OTLP and writes to a Prometheus.
func toPrometheus(intake, url, version string) string {
	return fmt.Sprintf(`
matchers: ['env="prod"']
config:
  receivers: {otlp: {protocols: {http: {endpoint: %q}}}}
  processors: {attributes: {actions: [{key: version, value: %q, action: insert}]}}
  exporters: {otlp_http: {endpoint: "%s/api/v1/otlp", compression: none, retry_on_failure: {initial_interval: 50ms}}}
  service: {pipelines: {metrics: {receivers: [otlp], processors: [attributes], exporters: [otlp_http]}}}
`, intake, version, url)
}

// pushOne sends one point by OTLP and reports whether it was accepted.
func pushOne(intake string, n int) error {
	body := fmt.Sprintf(`{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pusher"}}]},"scopeMetrics":[{"metrics":[{"name":"pushed_n","gauge":{"dataPoints":[{"asInt":"1","timeUnixNano":"%d","attributes":[{"key":"n","value":{"stringValue":"%d"}}]}]}}]}]}]}`, time.Now().UnixNano(), n)
	client := http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	response, err := client.Post("http://"+intake+"/v1/metrics", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("push %d: %s", n, response.Status)
	}
	return nil
}

// TestRemoteConfig publishes a pipeline and checks its data in a real Prometheus. Then it
// publishes invalid revisions and returns to the first, while the local pipeline keeps
// scraping.
func TestRemoteConfig(t *testing.T) {
	t.Parallel()
	server, fleet, target := harness.Prometheus(t), harness.Fleet(t), newPulse(t)
	intake := harness.FreeAddr(t)
	require.NoError(t, fleet.Publish("orders", toPrometheus(intake, server.URL, "one")))
	dir := filepath.Join(t.TempDir(), "remote")
	o := remoteOptions{fleet: fleet, id: "host-1", env: "prod", target: target, dir: dir}
	collector := remote(t, o)
	other := remote(t, remoteOptions{fleet: fleet, id: "host-2", env: "dev", target: target, dir: filepath.Join(t.TempDir(), "remote")})
	since := time.Now()
	fleet.Applied(t, "host-1", "orders", 1)
	fleet.Applied(t, "host-2", "orders", 0)

	// Points accepted while configurations change must arrive.
	accepted := 0
	push := func() {
		if pushOne(intake, accepted) == nil {
			accepted++
		}
	}
	stop := make(chan struct{})
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				push()
			}
		}
	})

	require.NoError(t, fleet.Publish("orders", toPrometheus(intake, server.URL, "two")))
	fleet.Applied(t, "host-1", "orders", 2)

	// An invalid revision with an unknown key.
	bad := strings.Replace(toPrometheus(intake, server.URL, "three"), "compression: none", "compress: none", 1)
	require.NoError(t, fleet.Publish("orders", bad))
	harness.Eventually(t, time.Minute, func() error {
		c, err := fleet.Collector("host-1")
		if err == nil && (c.Status != "FAILED" || !strings.Contains(c.Error, "compress") || !strings.Contains(c.Error, "orders")) {
			err = fmt.Errorf("%s %s", c.Status, c.Error)
		}
		return err
	})
	// The server rolls the failed revision back automatically.
	fleet.Applied(t, "host-1", "orders", 2)
	p, err := fleet.Pipeline("orders")
	require.NoError(t, err)
	require.Equal(t, "halted", p.Rollout.State)
	require.Contains(t, p.Rollout.Reason, "host-1")

	require.NoError(t, fleet.Do(http.MethodPost, "/api/v1/pipelines/orders/rollback", `{"revision": 1}`, nil))
	harness.Eventually(t, time.Minute, func() error {
		vector, err := server.Query(`count(pushed_n{version="one"})`)
		if err == nil && len(vector) == 0 {
			err = fmt.Errorf("nothing of version one")
		}
		return err
	})
	close(stop)
	pushing.Wait()
	require.Positive(t, accepted)
	harness.Eventually(t, time.Minute, func() error {
		vector, err := server.Query(`count(count by (n) (last_over_time(pushed_n[1h])))`)
		if err != nil {
			return err
		}
		if len(vector) != 1 || int(vector[0].Value) != accepted {
			return fmt.Errorf("%d accepted, arrived: %v", accepted, vector)
		}
		return nil
	})
	require.Less(t, target.worst(since), 5*time.Second, "the local pipelines scrape on")

	// Its telemetry carries the pipeline's name, and does not clash with the local one's.
	response, err := http.Get(collector.MetricsURL)
	require.NoError(t, err)
	metrics, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Contains(t, string(metrics), `remote_config_pipeline="orders"`)

	// Nothing matches it any more: it has no remote pipelines, and the local one keeps
	// running.
	require.NoError(t, fleet.Do(http.MethodDelete, "/api/v1/pipelines/orders", "", nil))
	fleet.Applied(t, "host-1", "orders", 0)
	require.Error(t, pushOne(intake, -1))
	require.NoError(t, collector.Stop())
	require.NoError(t, other.Stop())
	stat, err := os.Stat(filepath.Join(dir, "last_good.yaml"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), stat.Mode().Perm())
}

// TestRemoteConfigServerAway starts a collector while its server is down. It must run its
// last configuration, and report it when the server is back.
func TestRemoteConfigServerAway(t *testing.T) {
	t.Parallel()
	server, fleet, target := harness.Prometheus(t), harness.Fleet(t), newPulse(t)
	intake := harness.FreeAddr(t)
	o := remoteOptions{fleet: fleet, id: "host-1", env: "prod", target: target, dir: filepath.Join(t.TempDir(), "remote")}

	require.NoError(t, fleet.Stop())
	collector := remote(t, o) // it has never reached a server
	require.Eventually(t, func() bool { return target.worst(time.Now().Add(-time.Second)) < time.Second }, 30*time.Second, 100*time.Millisecond)
	fleet.Restart(t)
	require.NoError(t, fleet.Publish("orders", toPrometheus(intake, server.URL, "one")))
	fleet.Applied(t, "host-1", "orders", 1)

	fleet.Signal(os.Kill)
	_ = fleet.Wait(30 * time.Second)
	require.NoError(t, pushOne(intake, 1), "the server's death stops nothing")
	require.NoError(t, collector.Stop())
	collector = remote(t, o)
	harness.Eventually(t, 30*time.Second, func() error { return pushOne(intake, 2) })
	fleet.Restart(t)
	fleet.Applied(t, "host-1", "orders", 1)
	require.NoError(t, collector.Stop())
}
