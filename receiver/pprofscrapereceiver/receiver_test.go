package pprofscrapereceiver

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/collector/receiver/xreceiver"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/metadata"
)

// goTarget returns a server, not yet started, for net/http/pprof. allow may reject
// requests and may be nil.
func goTarget(t *testing.T, allow func(http.ResponseWriter, *http.Request) bool) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if allow == nil || allow(w, r) {
			mux.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func startServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return address(s)
}

func address(s *httptest.Server) string { return s.Listener.Addr().String() }

// start runs a receiver with one job that has the given keys.
func start(t *testing.T, next *sink, text string) *componenttest.Telemetry {
	t.Helper()
	cfg, err := parseConfig(t, "scrape_configs: [{job_name: app, "+text+"}]")
	require.NoError(t, err)
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID = component.NewID(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	r, err := NewFactory().(xreceiver.Factory).CreateProfiles(t.Context(), set, cfg, next)
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, r.Shutdown(context.Background())) })
	return telemetry
}

// metricPrefix is the prefix of all own metrics.
const metricPrefix = "otelcol_receiver_pprof_scrape_"

// count returns the value of one of the receiver's counters.
func count(t *testing.T, telemetry *componenttest.Telemetry, name string, attributes ...attribute.KeyValue) int64 {
	t.Helper()
	m, err := telemetry.GetMetric(metricPrefix + name)
	if err != nil {
		return 0 // not counted yet
	}
	want := attribute.NewSet(append(attributes, attribute.String("receiver", "pprof_scrape"))...)
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		if p.Attributes.Equals(&want) {
			return p.Value
		}
	}
	return 0
}

var live [][]byte

//go:noinline
func allocateHere(n int) {
	for range n {
		live = append(live, make([]byte, 1<<20))
	}
}

//go:noinline
func contend() {
	var mu sync.Mutex
	var done sync.WaitGroup
	mu.Lock()
	for range 2 {
		done.Go(func() {
			mu.Lock()
			runtime.Gosched()
			mu.Unlock()
		})
	}
	ch := make(chan struct{})
	done.Go(func() {
		time.Sleep(20 * time.Millisecond) // blocks the other goroutine
		close(ch)
	})
	<-ch
	mu.Unlock()
	done.Wait()
}

func TestProfilesOfAGoProgram(t *testing.T) {
	runtime.SetBlockProfileRate(1)
	defer runtime.SetBlockProfileRate(0)
	defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(1))
	program := goTarget(t, nil)
	program.Start()

	stop := make(chan struct{})
	var busy sync.WaitGroup
	defer busy.Wait()
	defer close(stop)
	busy.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
				if n%1000000 == 0 {
					contend()
				}
			}
		}
	})

	next := newSink()
	start(t, next, `scrape_interval: 2s, static_configs: [{targets: ["`+address(program)+`"], labels: {zone: z, service_name: shop}}]`)
	names := []string{"process_cpu", "memory", "goroutine", "block", "mutex"}
	next.until(t, "all five profiles", func() bool {
		for _, name := range names {
			if len(next.named(name)) == 0 {
				return false
			}
		}
		return true
	})
	for _, name := range names {
		pd := next.named(name)[0]
		rp := pd.ResourceProfiles().At(0)
		require.Equal(t, map[string]any{
			"job": "app", "instance": address(program), "zone": "z", "service.name": "shop",
		}, rp.Resource().Attributes().AsRaw())
		require.Equal(t, metadata.ScopeName, rp.ScopeProfiles().At(0).Scope().Name())
		for _, p := range rp.ScopeProfiles().At(0).Profiles().All() {
			require.WithinDuration(t, time.Now(), p.Time().AsTime(), time.Minute)
		}
	}
	cpu := next.named("process_cpu")[0]
	require.True(t, has(cpu, "cpu"))
	require.InDelta(t, time.Second, cpu.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).DurationNano(), float64(700*time.Millisecond))
	require.True(t, has(next.named("goroutine")[0], "goroutine"))
	require.True(t, has(next.named("block")[0], "delay"))
	require.Positive(t, sum(next.named("block")[0], "contentions", "contend"))
	require.True(t, has(next.named("mutex")[0], "contentions"))
	require.False(t, has(next.named("memory")[0], "alloc_space"), "the first has nothing to subtract")
	require.True(t, has(next.named("memory")[0], "inuse_space"))
}

// The second scrape sends the allocations since the first.
func TestDifferencesBetweenScrapes(t *testing.T) {
	scrapes := make(chan chan struct{})
	program := goTarget(t, func(_ http.ResponseWriter, r *http.Request) bool {
		turn := make(chan struct{})
		select {
		case scrapes <- turn:
			<-turn
		case <-r.Context().Done():
		}
		runtime.GC() // updates the heap profile
		runtime.GC()
		return true
	})
	program.Start()
	next := newSink()
	scrape := func(n int) pprofile.Profiles {
		t.Helper()
		close(<-scrapes)
		next.until(t, "a profile", func() bool { return len(next.named("memory")) == n })
		return next.named("memory")[n-1]
	}
	allocateHere(8)
	telemetry := start(t, next, `scrape_interval: 1s, `+only("memory")+`, static_configs: [{targets: ["`+address(program)+`"]}]`)
	require.Zero(t, sum(scrape(1), "alloc_space", "allocateHere"))
	allocateHere(16)
	pd := scrape(2)
	require.InDelta(t, 16<<20, sum(pd, "alloc_space", "allocateHere"), 6<<20)
	require.InDelta(t, 24<<20, sum(pd, "inuse_space", "allocateHere"), 8<<20)
	require.Positive(t, pd.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).DurationNano())
	require.Zero(t, sum(scrape(3), "alloc_space", "allocateHere"))
	require.Zero(t, count(t, telemetry, "counter_restarts", attribute.String("profile", "memory")))

	// A profile that the pipeline refuses temporarily is part of the next difference.
	next.mu.Lock()
	next.refuse = errors.New("full")
	next.mu.Unlock()
	allocateHere(10)
	close(<-scrapes)
	next.until(t, "a refusal", func() bool {
		return count(t, telemetry, "failed_scrapes", attribute.String("profile", "memory"), attribute.String("reason", "pipeline")) == 1
	})
	next.mu.Lock()
	next.refuse = nil
	next.mu.Unlock()
	allocateHere(10)
	require.InDelta(t, 20<<20, sum(scrape(4), "alloc_space", "allocateHere"), 6<<20)

	// A profile that it refuses permanently is lost.
	next.mu.Lock()
	next.refuse = consumererror.NewPermanent(errors.New("never"))
	next.mu.Unlock()
	allocateHere(10)
	close(<-scrapes)
	next.until(t, "a refusal", func() bool {
		return count(t, telemetry, "failed_scrapes", attribute.String("profile", "memory"), attribute.String("reason", "pipeline")) == 2
	})
	next.mu.Lock()
	next.refuse = nil
	next.mu.Unlock()
	require.Zero(t, sum(scrape(5), "alloc_space", "allocateHere"))
	live = nil
}

func TestTargetsComeAndGo(t *testing.T) {
	var hits sync.Map
	address := startServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := hits.LoadOrStore(r.URL.Path, 0)
		hits.Store(r.URL.Path, n.(int)+1)
		pprof.Handler("goroutine").ServeHTTP(w, r)
	})
	file := filepath.Join(t.TempDir(), "targets.yaml")
	write := func(paths ...string) {
		t.Helper()
		text := ""
		for _, path := range paths {
			text += fmt.Sprintf("- {targets: [%q], labels: {__profile_path__: %s, path: %s}}\n", address, path, path)
		}
		require.NoError(t, os.WriteFile(file+".new", []byte(text+"[]\n"[min(len(text), 3):]), 0o600))
		require.NoError(t, os.Rename(file+".new", file))
	}
	write("/one", "/two", "/dropped")
	next := newSink()
	telemetry := start(t, next, `scrape_interval: 1s, `+only("goroutine")+`, file_sd_configs: [{files: [`+file+`]}],
		relabel_configs: [{source_labels: [path], regex: /dropped, action: drop}]`)
	from := func(path string) int {
		n := 0
		for _, pd := range next.named("goroutine") {
			if v, ok := pd.ResourceProfiles().At(0).Resource().Attributes().Get("path"); ok && v.Str() == path {
				n++
			}
		}
		return n
	}
	next.until(t, "both are scraped", func() bool { return from("/one") > 0 && from("/two") > 0 })
	write("/two", "/three")
	next.until(t, "another is scraped", func() bool { return from("/three") > 0 })
	before, two := from("/one"), from("/two")
	next.until(t, "time passes", func() bool { return from("/two") >= two+2 })
	require.Equal(t, before, from("/one"), "a target that left is not scraped")
	_, dropped := hits.Load("/dropped")
	require.False(t, dropped)
	m, err := telemetry.GetMetric(metricPrefix + "targets")
	require.NoError(t, err)
	require.Equal(t, int64(2), m.Data.(metricdata.Gauge[int64]).DataPoints[0].Value)
	write()
	next.until(t, "none is left", func() bool {
		m, err := telemetry.GetMetric(metricPrefix + "targets")
		return err == nil && m.Data.(metricdata.Gauge[int64]).DataPoints[0].Value == 0
	})
}

func TestAuthentication(t *testing.T) {
	f := func(config string, tls bool, allow func(r *http.Request) bool) {
		t.Helper()
		program := goTarget(t, func(w http.ResponseWriter, r *http.Request) bool {
			if !allow(r) {
				http.Error(w, "who are you?", http.StatusUnauthorized)
			}
			return allow(r)
		})
		if tls {
			program.StartTLS()
			ca := filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: program.Certificate().Raw}), 0o600))
			config += ", scheme: https, tls_config: {ca_file: " + ca + "}"
		} else {
			program.Start()
		}
		next := newSink()
		start(t, next, `scrape_interval: 1s, `+only("goroutine")+`, static_configs: [{targets: ["`+address(program)+`"]}], `+config)
		next.until(t, "a profile with "+config, func() bool { return len(next.named("goroutine")) > 0 })
	}
	f("basic_auth: {username: u, password: p}", false, func(r *http.Request) bool {
		user, password, _ := r.BasicAuth()
		return user == "u" && password == "p"
	})
	f("bearer_token: secret", false, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer secret" })
	f("authorization: {type: Token, credentials: secret}", false, func(r *http.Request) bool { return r.Header.Get("Authorization") == "Token secret" })
	f("http_headers: {X-Key: {secrets: [k]}}", false, func(r *http.Request) bool { return r.Header.Get("X-Key") == "k" })
	f("basic_auth: {username: u, password: p}", true, func(r *http.Request) bool {
		user, _, _ := r.BasicAuth()
		return user == "u" && r.TLS != nil && r.TLS.Version >= tls.VersionTLS12
	})
}

func TestSomethingWrongAtStart(t *testing.T) {
	f := func(config, want string) {
		t.Helper()
		cfg, err := parseJob(t, config)
		require.NoError(t, err)
		r, err := NewFactory().(xreceiver.Factory).CreateProfiles(t.Context(), receivertest.NewNopSettings(metadata.Type), &Config{ScrapeConfigs: []ScrapeConfig{*cfg}}, newSink())
		require.NoError(t, err)
		err = r.Start(t.Context(), componenttest.NewNopHost())
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, `"app"`)
		require.NoError(t, r.Shutdown(t.Context()))
	}
	f("kubernetes_sd_configs: [{role: pod, kubeconfig_file: /does/not/exist}]", "/does/not/exist")
	f("tls_config: {ca_file: /does/not/exist}", "/does/not/exist")
}

func TestShutdownWithoutStart(t *testing.T) {
	cfg, err := parseJob(t, "")
	require.NoError(t, err)
	r, err := newReceiver(receivertest.NewNopSettings(metadata.Type), &Config{ScrapeConfigs: []ScrapeConfig{*cfg}}, newSink())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(t.Context()))
}

// A scrape that hangs does not delay Shutdown.
func TestShutdownDuringAScrape(t *testing.T) {
	asked := make(chan struct{}, 1)
	address := startServer(t, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	cfg, err := parseConfig(t, `scrape_configs: [{job_name: app, scrape_interval: 1s, scrape_timeout: 1h, `+only("goroutine")+`, static_configs: [{targets: ["`+address+`"]}]}]`)
	require.NoError(t, err)
	r, err := newReceiver(receivertest.NewNopSettings(metadata.Type), cfg, newSink())
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
	<-asked
	require.NoError(t, r.Shutdown(t.Context()))
}

// TestNothingToScrape checks that jobs without targets are accepted with a warning.
func TestNothingToScrape(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		cfg, err := parseConfig(t, text)
		require.NoError(t, err)
		core, logs := observer.New(zap.WarnLevel)
		set := receivertest.NewNopSettings(metadata.Type)
		set.Logger = zap.New(core)
		r, err := NewFactory().(xreceiver.Factory).CreateProfiles(t.Context(), set, cfg, &sink{})
		require.NoError(t, err)
		require.NoError(t, r.Start(t.Context(), componenttest.NewNopHost()))
		require.NoError(t, r.Shutdown(t.Context()))
		require.Equal(t, 1, logs.Len())
		require.Contains(t, logs.All()[0].Message, want)
	}
	f("{}", "scrape_configs is empty")
	f("scrape_configs:", "scrape_configs is empty")
	f("scrape_configs: []", "scrape_configs is empty")
	f("scrape_configs: [{job_name: app}]", "neither static_configs nor")
	f("scrape_configs: [{job_name: app, static_configs: []}]", "neither static_configs nor")
}
