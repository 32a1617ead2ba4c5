package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
)

// rolledOut returns a pipeline that many collectors on one host can run: it has no ports
// and sends nothing. An invalid certificate makes it fail during the dry run.
func rolledOut(version, pem string) string {
	return fmt.Sprintf(`
rollout: {stages: [25, 100], wait: 1s, max_failed: 0}
config:
  receivers: {host_metrics: {collection_interval: 10m, initial_delay: 10m, scrapers: {load: }}}
  exporters: {otlp_http: {endpoint: "https://127.0.0.1:9", headers: {version: %q}, tls: {ca_pem: %q}}}
  service: {pipelines: {metrics: {receivers: [host_metrics], exporters: [otlp_http]}}}
`, version, pem)
}

// TestRemoteConfigRollout rolls a pipeline out to twenty collectors in stages. A revision
// that fails must only reach the first stage.
func TestRemoteConfigRollout(t *testing.T) {
	t.Parallel()
	const collectors = 20
	fleet, target := harness.Fleet(t), newPulse(t)
	dir := t.TempDir()
	for i := range collectors {
		remote(t, remoteOptions{fleet: fleet, id: fmt.Sprintf("host-%d", i), env: "prod", target: target, dir: filepath.Join(dir, fmt.Sprint(i))})
	}
	// all waits until every collector has applied the revision, and returns how many
	// reported a failure meanwhile.
	all := func(revision int) int {
		failed := map[string]bool{}
		harness.Eventually(t, 3*time.Minute, func() error {
			found, err := fleet.Collectors()
			if err != nil {
				return err
			}
			done := 0
			for _, c := range found {
				if c.Status == "FAILED" {
					failed[c.ID] = true
				}
				if c.Status == "APPLIED" && c.UpToDate && c.Revision("host") == revision {
					done++
				}
			}
			if done != collectors {
				p, _ := fleet.Pipeline("host")
				return fmt.Errorf("%d of %d collectors applied revision %d: %+v", done, collectors, revision, p)
			}
			return nil
		})
		return len(failed)
	}
	require.NoError(t, fleet.Publish("host", rolledOut("1", "")))
	require.Zero(t, all(1))

	require.NoError(t, fleet.Publish("host", rolledOut("2", "not a certificate")))
	harness.Eventually(t, 2*time.Minute, func() error {
		p, err := fleet.Pipeline("host")
		if err == nil && (p.Rollout.State != "halted" || !strings.Contains(p.Rollout.Reason, "otlp_http")) {
			err = fmt.Errorf("rollout: %+v", p.Rollout)
		}
		return err
	})
	require.LessOrEqual(t, all(1), collectors/2, "those of the first stage only")

	require.NoError(t, fleet.Publish("host", rolledOut("3", "")))
	require.Zero(t, all(3))
	require.NoError(t, fleet.Do(http.MethodPost, "/api/v1/pipelines/host/rollback", `{"revision": 1}`, nil))
	harness.Eventually(t, time.Minute, func() error {
		c, err := fleet.Collector("host-7")
		if err == nil && (c.Status != "APPLIED" || !c.UpToDate || !strings.Contains(c.Effective["host"], "host_metrics") || c.Revision("host") == 3) {
			err = fmt.Errorf("%+v", c)
		}
		return err
	})
}

// TestRemoteConfigKilled kills the collector at random times during a switch. Without a
// server it must start with a configuration that worked, and it must apply the new one
// when the server is back.
func TestRemoteConfigKilled(t *testing.T) {
	kills := 6
	if os.Getenv("INVAR_SOAK") != "" {
		kills = 50
	} else {
		t.Parallel()
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	fleet, target := harness.Fleet(t), newPulse(t)
	intake := harness.FreeAddr(t)
	options := harness.Options{
		Config: strings.Replace(remoteCollector, `connect: {endpoint: "${env:FLEET}", poll_interval: `+pollInterval+`}`, `opamp: {endpoint: "ws://`+strings.TrimPrefix(fleet.URL, "http://")+`/v1/opamp"}`, 1),
		Env:    map[string]string{"ID": "", "ATTRIBUTE_ENV": "prod", "STORAGE": filepath.Join(t.TempDir(), "remote"), "TARGET": target.addr},
	}
	applied := func(revision int) {
		t.Helper()
		harness.Eventually(t, time.Minute, func() error {
			found, err := fleet.Collectors()
			if err != nil {
				return err
			}
			if len(found) != 1 {
				return fmt.Errorf("%d collectors", len(found))
			}
			if c := found[0]; c.Status != "APPLIED" || !c.UpToDate || c.Revision("orders") != revision {
				return fmt.Errorf("%s %s, revision %d instead of %d", c.Status, c.Error, c.Revision("orders"), revision)
			}
			return nil
		})
	}
	require.NoError(t, fleet.Publish("orders", toPrometheus(intake, "http://127.0.0.1:9", "first")))
	collector := harness.Invar(t, options)
	applied(1)
	for i := range kills {
		require.NoError(t, fleet.Publish("orders", toPrometheus(intake, "http://127.0.0.1:9", fmt.Sprint(i))))
		time.Sleep(time.Duration(rng.IntN(1500)) * time.Millisecond) // kill during or after the switch and the probation
		collector.Signal(os.Kill)
		_ = collector.Wait(30 * time.Second)
		require.NoError(t, fleet.Stop())
		collector = harness.Invar(t, options)
		harness.Eventually(t, 30*time.Second, func() error { return pushOne(intake, i) })
		fleet.Restart(t)
		applied(i + 2)
	}
	require.NoError(t, collector.Stop())
}
