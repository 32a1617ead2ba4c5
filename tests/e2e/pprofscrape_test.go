package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// TestPprofScrape scrapes Go programs from service discovery, and compares the profiles
// that arrive at Pyroscope's API with the work of the programs between two scrapes. One of
// the programs disappears, and the other one restarts.
func TestPprofScrape(t *testing.T) {
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "pprofserver")
	if text, err := exec.Command("go", "build", "-o", binary, "./testdata/pprofserver").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, text)
	}
	cart := startPprofServer(t, binary, harness.FreeAddr(t), "BURN=yes")
	billing := startPprofServer(t, binary, harness.FreeAddr(t))
	before := cart.work(t, 100) // in no profile, because the time of this work is not known
	dir := t.TempDir()
	discover := func(groups string) {
		t.Helper()
		tmp := filepath.Join(dir, "tmp")
		require.NoError(t, os.WriteFile(tmp, []byte(groups), 0o600))
		require.NoError(t, os.Rename(tmp, filepath.Join(dir, "targets.json")))
	}
	discover(fmt.Sprintf(`[{"targets": [%q], "labels": {"team": "cart"}}, {"targets": [%q], "labels": {"team": "billing"}},
		{"targets": [%q], "labels": {"team": "nobody"}}]`, cart.addr, billing.addr, harness.FreeAddr(t)))
	sink := startPyroscope(t)
	invar := harness.Invar(t, harness.Options{Env: map[string]string{"PYROSCOPE": sink.URL, "DIR": dir, "CART": cart.addr, "PASSWORD": pprofPassword}, Config: `
receivers:
  pprof_scrape:
    scrape_configs:
      - job_name: shop
        scrape_interval: 2s
        basic_auth: {username: invar, password: "${env:PASSWORD}"}
        file_sd_configs: [{files: ["${env:DIR}/*.json"]}]
        relabel_configs:
          - {source_labels: [team], regex: cart|billing, action: keep}
          - {source_labels: [team, __name__], regex: billing;goroutine, action: drop}
          - {source_labels: [team], target_label: service_name, replacement: shop-$1}
      - job_name: stranger
        scrape_interval: 2s
        basic_auth: {username: invar, password: wrong}
        static_configs: [{targets: ["${env:CART}"]}]
exporters:
  pyroscope: {endpoint: "${env:PYROSCOPE}", sending_queue: {batch: {flush_timeout: 100ms}}}
service: {pipelines: {profiles: {receivers: [pprof_scrape], exporters: [pyroscope]}}}
`})
	ofCart := map[string]string{"service_name": "shop-cart"}
	ofBilling := map[string]string{"service_name": "shop-billing"}
	// total is the sum of a column over the stacks with a function, in all profiles with
	// a name that Pyroscope would store.
	total := func(path pyroscopesink.WritePath, of map[string]string, name, column, function string) int64 {
		of = maps.Clone(of)
		of["__name__"] = name
		share, all := pyroscopesink.Share(pyroscopesink.Stacks(sink.Stored(path, of), column), func(s pyroscopesink.Stack) bool { return s.Has(function) })
		return int64(share*float64(all) + 0.5)
	}
	// measured waits until the profiles of all work have arrived.
	measured := func(of map[string]string, done pprofWork) {
		t.Helper()
		var differences []string
		harness.Eventually(t, 30*time.Second, func() error {
			differences = nil
			within := func(name, column, function string, least, most float64) {
				for _, path := range []pyroscopesink.WritePath{pyroscopesink.Ingester, pyroscopesink.SegmentWriter} {
					if got := float64(total(path, of, name, column, function)); got < least || got > most {
						differences = append(differences, fmt.Sprintf("%s %s of %s is %.0f by the %s, want %.0f to %.0f", name, column, function, got, path, least, most))
					}
				}
			}
			bytes := float64(done.AllocatedBytes)
			within("memory", "alloc_space", "main.allocate", 0.95*bytes, 1.05*bytes)
			within("block", "contentions", "main.await", float64(done.Waits), float64(done.Waits))
			within("block", "delay", "main.await", float64(done.Waits)*1e6, float64(done.WaitNanos))
			within("mutex", "contentions", "main.contend", 0.8*float64(done.Contentions), float64(done.Contentions))
			if len(differences) > 0 {
				return fmt.Errorf("%v: %s", of, strings.Join(differences, "; "))
			}
			return nil
		})
	}

	cart.scraped(t, 2)
	billing.scraped(t, 2)
	done := cart.work(t, 400)
	done.subtract(before)
	measured(ofCart, done)
	first := billing.work(t, 400)
	measured(ofBilling, first)

	t.Run("names and labels", func(t *testing.T) {
		harness.Eventually(t, 30*time.Second, func() error {
			_, n := pyroscopesink.Share(pyroscopesink.Stacks(sink.Profiles(ofCart), "samples"), func(pyroscopesink.Stack) bool { return true })
			if n < 300 { // enough for shares within 10 points
				return fmt.Errorf("%d samples", n)
			}
			return nil
		})
		for name, types := range map[string]string{
			"process_cpu": "samples/count cpu/nanoseconds",
			"memory":      "alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes",
			"goroutine":   "goroutine/count",
			"block":       "contentions/count delay/nanoseconds",
			"mutex":       "contentions/count delay/nanoseconds",
		} {
			got := sink.Stored(pyroscopesink.Ingester, map[string]string{"service_name": "shop-cart", "__name__": name})
			assert.NotEmpty(t, got, name)
			for _, p := range got {
				if got := columns(p.Pprof); name != "memory" || got != "inuse_objects/count inuse_space/bytes" { // the columns without allocations
					assert.Equal(t, types, got)
				}
				assert.Equal(t, map[string]string{"__name__": name, "service_name": "shop-cart", "team": "cart", "job": "shop", "instance": cart.addr}, p.Labels)
			}
		}
		known := map[string]bool{"shop-cart": true, "shop-billing": true}
		for _, p := range sink.Profiles(nil) {
			assert.True(t, known[p.Labels["service_name"]], "%v", p.Labels)
			assert.False(t, p.Labels["team"] == "billing" && p.Labels["__name__"] == "goroutine", "%v", p.Labels)
		}
		assert.Positive(t, metricValue(t, invar, "otelcol_receiver_pprof_scrape_failed_scrapes", `reason="status"`), "of the stranger")
	})
	t.Run("CPU time", func(t *testing.T) {
		profiles := sink.Profiles(map[string]string{"service_name": "shop-cart", "__name__": "process_cpu"})
		stacks := pyroscopesink.Stacks(profiles, "cpu")
		large, _ := pyroscopesink.Share(stacks, func(s pyroscopesink.Stack) bool { return s.Has("main.burnLarge", "main.spinSquare") })
		small, _ := pyroscopesink.Share(stacks, func(s pyroscopesink.Stack) bool { return s.Has("main.burnSmall", "main.spinSquare") })
		assert.InDelta(t, 0.75, large, 0.10, "%v", sample(stacks))
		assert.InDelta(t, 0.25, small, 0.10, "%v", sample(stacks))
		for _, p := range profiles {
			assert.InDelta(t, time.Second, p.Pprof.DurationNanos, float64(500*time.Millisecond), "a second less than the interval")
		}
	})
	t.Run("a target leaves", func(t *testing.T) {
		discover(fmt.Sprintf(`[{"targets": [%q], "labels": {"team": "billing"}}]`, billing.addr))
		harness.Eventually(t, 30*time.Second, func() error {
			if n := metricValue(t, invar, "otelcol_receiver_pprof_scrape_targets", `job="shop"`); n != 4 {
				return fmt.Errorf("%v targets, want 4", n)
			}
			return nil
		})
		billing.scraped(t, 2) // scrapes in progress have ended
		left, served := len(sink.Profiles(ofCart)), cart.served(t)
		billing.scraped(t, 2)
		// The job stranger still sends requests, but gets no profile.
		require.Equal(t, served, cart.served(t))
		require.Len(t, sink.Profiles(ofCart), left)
		measured(ofCart, done) // and the sums have not changed
	})
	t.Run("a target begins anew", func(t *testing.T) {
		measured(ofBilling, first)
		require.NoError(t, billing.Process.Kill())
		require.Error(t, billing.Wait())
		billing = startPprofServer(t, binary, billing.addr)
		billing.scraped(t, 1)
		// Every counter is lower than before, so its value counts as it is.
		sum := billing.work(t, 100)
		sum.add(first)
		measured(ofBilling, sum)
		billing.scraped(t, 2)
		measured(ofBilling, sum)
		assert.Positive(t, metricValue(t, invar, "otelcol_receiver_pprof_scrape_counter_restarts", `profile="mutex"`))
	})
	for _, p := range sink.Profiles(nil) {
		for _, s := range p.Pprof.Sample {
			for _, v := range s.Value {
				require.GreaterOrEqual(t, v, int64(0), "%v", p.Labels)
			}
		}
	}
	require.NoError(t, invar.Stop())
}

const pprofPassword = "s3cr3t"

// pprofServer is a running testdata/pprofserver.
type pprofServer struct {
	*exec.Cmd
	addr string
}

func startPprofServer(t *testing.T, binary, addr string, env ...string) *pprofServer {
	t.Helper()
	cmd := exec.Command(binary, addr, "invar", pprofPassword)
	cmd.Env = append(os.Environ(), env...)
	background(t, cmd)
	s := &pprofServer{cmd, addr}
	harness.Eventually(t, 10*time.Second, func() error { return s.ask("/served", &map[string]int{}) })
	return s
}

// pprofWork is the work of the server since its start, as it reports it.
type pprofWork struct{ AllocatedBytes, Waits, WaitNanos, Contentions int64 }

func (w *pprofWork) add(o pprofWork) {
	w.AllocatedBytes += o.AllocatedBytes
	w.Waits += o.Waits
	w.WaitNanos += o.WaitNanos
	w.Contentions += o.Contentions
}

func (w *pprofWork) subtract(o pprofWork) {
	w.add(pprofWork{-o.AllocatedBytes, -o.Waits, -o.WaitNanos, -o.Contentions})
}

// work makes the server work, and returns its total work.
func (s *pprofServer) work(t *testing.T, n int) pprofWork {
	t.Helper()
	var done pprofWork
	require.NoError(t, s.ask(fmt.Sprint("/work?n=", n), &done))
	return done
}

// served returns how many profiles the server has served, by path.
func (s *pprofServer) served(t *testing.T) map[string]int {
	t.Helper()
	n := map[string]int{}
	require.NoError(t, s.ask("/served", &n))
	return n
}

// scraped waits until the server has served n more profiles of each cumulative kind.
func (s *pprofServer) scraped(t *testing.T, n int) {
	t.Helper()
	before := s.served(t)
	harness.Eventually(t, 30*time.Second, func() error {
		now := s.served(t)
		for _, kind := range []string{"allocs", "block", "mutex"} {
			if path := "/debug/pprof/" + kind; now[path] < before[path]+n {
				return fmt.Errorf("%s was served %d times, want %d", path, now[path], before[path]+n)
			}
		}
		return nil
	})
}

// ask decodes a response of the server.
func (s *pprofServer) ask(path string, answer any) error {
	client := http.Client{Timeout: 20 * time.Second}
	resp, err := client.Get("http://" + s.addr + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
