package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	typesv1 "github.com/grafana/pyroscope/api/gen/proto/go/types/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/tests/harness"
	"github.com/invar-otel/invar/tests/pyroscopesink"
)

// pyroscopeRelay receives profiles of Pyroscope's clients at PUSH and sends them to
// PYROSCOPE.
const pyroscopeRelay = `
receivers:
  pyroscope: {protocols: {http: {endpoint: "${env:PUSH}"}}}
exporters:
  pyroscope:
    endpoint: ${env:PYROSCOPE}
    tenant: {header: X-Scope-OrgID}
    sending_queue: {batch: {flush_timeout: 100ms}}
service: {pipelines: {profiles: {receivers: [pyroscope], exporters: [pyroscope]}}}
`

// TestPyroscopeRelay pushes to the pyroscope receiver as Pyroscope's clients do, and
// compares what arrives at Pyroscope's API behind it.
func TestPyroscopeRelay(t *testing.T) {
	t.Parallel()
	sink := startPyroscope(t)
	addr := harness.FreeAddr(t)
	invar := harness.Invar(t, harness.Options{Config: pyroscopeRelay, Env: map[string]string{"PUSH": addr, "PYROSCOPE": sink.URL}})

	t.Run("push", func(t *testing.T) {
		want := everythingInPprof()
		for _, c := range []struct {
			name    string
			client  *http.Client
			options []connect.ClientOption
		}{
			{"connect", http.DefaultClient, nil},
			{"connect_gzip", http.DefaultClient, []connect.ClientOption{connect.WithSendGzip()}},
			{"connect_json", http.DefaultClient, []connect.ClientOption{connect.WithProtoJSON()}},
			{"grpc", cleartextHTTP2(t), []connect.ClientOption{connect.WithGRPC()}},
			{"grpc_web", http.DefaultClient, []connect.ClientOption{connect.WithGRPCWeb()}},
		} {
			client := pushv1connect.NewPusherServiceClient(c.client, "http://"+addr, c.options...)
			require.NoError(t, pushProfile(t.Context(), client, "team-"+c.name, want, map[string]string{
				"__name__": "process_cpu", "service_name": c.name, "k8s.namespace": "shop", "__session_id__": "1f", "region": "eu/ä",
			}), c.name)
			got := arrived(t, sink, map[string]string{"service_name": c.name}, 1)[0]
			require.Equal(t, "team-"+c.name, got.Tenant)
			require.Equal(t, map[string]string{"__name__": "process_cpu", "service_name": c.name, "k8s_namespace": "shop", "region": "eu/ä"}, got.Labels, c.name)
			require.Equal(t, pyroscopesink.Canonical(want), pyroscopesink.Canonical(got.Pprof), c.name)
		}
	})

	t.Run("counters", func(t *testing.T) {
		client := pushv1connect.NewPusherServiceClient(http.DefaultClient, "http://"+addr)
		for service, delta := range map[string]string{"cumulative": "", "differences": "false"} {
			labels := map[string]string{"__name__": "memory", "service_name": service}
			if delta != "" {
				labels["__delta__"] = delta
			}
			for i := range 3 { // 10 more each time, or 10 each time
				p := allocated(10)
				if delta == "" {
					p = allocated(int64(100 + 10*i))
				}
				p.TimeNanos = int64(i+1) * int64(time.Second)
				require.NoError(t, pushProfile(t.Context(), client, "team", p, labels))
				require.Equal(t, labels, arrived(t, sink, map[string]string{"service_name": service}, i+1)[i].Labels)
			}
		}
		sum := func(service string) int64 {
			_, total := pyroscopesink.Share(pyroscopesink.Stacks(sink.Stored(pyroscopesink.Ingester, map[string]string{"service_name": service}), "alloc_space"), func(pyroscopesink.Stack) bool { return true })
			return total
		}
		require.Equal(t, int64(20), sum("cumulative"), "as if they were pushed to Pyroscope")
		require.Equal(t, int64(30), sum("differences"))
	})

	t.Run("repairs", func(t *testing.T) {
		// One of the samples refers to a missing location, and two functions have the same
		// id. Invar must keep what Pyroscope keeps.
		p := new(googlev1.Profile)
		plain := allocated(10)
		plain.Sample[0].Label = map[string][]string{"span_id": {"0102030405060708"}, "trace_id": {"0102030405060708090a0b0c0d0e0f10"}}
		require.NoError(t, p.UnmarshalVT(uncompressed(t, plain)))
		p.Function = append(p.Function, &googlev1.Function{Id: p.Function[0].Id, Name: p.Function[0].Name})
		p.Sample = append(p.Sample, &googlev1.Sample{LocationId: []uint64{99}, Value: []int64{1}}, &googlev1.Sample{LocationId: []uint64{1}, Value: []int64{-1}})
		data, err := p.MarshalVT()
		require.NoError(t, err)
		client := pushv1connect.NewPusherServiceClient(http.DefaultClient, "http://"+addr)
		_, err = client.Push(t.Context(), connect.NewRequest(&pushv1.PushRequest{Series: []*pushv1.RawProfileSeries{{
			Labels:  []*typesv1.LabelPair{{Name: "__name__", Value: "memory"}, {Name: "service_name", Value: "broken"}},
			Samples: []*pushv1.RawSample{{RawProfile: data}},
		}}}))
		require.NoError(t, err)
		got := arrived(t, sink, map[string]string{"service_name": "broken"}, 1)[0]
		require.Equal(t, []pyroscopesink.Stack{{Functions: []string{"main"}, Value: 10}}, pyroscopesink.Stacks([]pyroscopesink.Profile{got}, "alloc_space"))
		require.Equal(t, plain.Sample[0].Label, got.Pprof.Sample[0].Label)
		for _, reason := range []string{"invalid_location", "negative_value"} {
			require.InDelta(t, 1, metricValue(t, invar, "otelcol_receiver_pyroscope_dropped_profile_samples", `reason="`+reason+`"`), 0, reason)
		}
	})

	t.Run("folded", func(t *testing.T) {
		query := "?name=shop.cpu%7Bregion%3Deu%7D&from=1700000000&until=1700000010&sampleRate=100"
		status, answer := ingest(t, "http://"+addr+"/ingest"+query, "", []byte("main;pay;encrypt 60\nmain;pay 40\nmain;pay;encrypt 1\n"))
		require.Equal(t, http.StatusOK, status, answer)
		got := arrived(t, sink, map[string]string{"service_name": "shop"}, 1)[0]
		require.Empty(t, got.Tenant)
		require.Equal(t, map[string]string{
			"__name__": "process_cpu", "__delta__": "false", "service_name": "shop", "region": "eu", "pyroscope_spy": "unknown",
		}, got.Labels)
		require.ElementsMatch(t, []pyroscopesink.Stack{
			{Functions: []string{"main", "pay", "encrypt"}, Value: 610_000_000}, {Functions: []string{"main", "pay"}, Value: 400_000_000},
		}, pyroscopesink.Stacks([]pyroscopesink.Profile{got}, "cpu"))
		require.Equal(t, int64(1_700_000_000_000_000_000), got.Pprof.TimeNanos)
		require.Equal(t, int64(10*time.Second), got.Pprof.DurationNanos)
		require.Equal(t, int64(10*time.Millisecond), got.Pprof.Period)
	})

	t.Run("jfr", func(t *testing.T) {
		recording, err := os.ReadFile(filepath.Join(harness.Root(t), "receiver", "pyroscopereceiver", "testdata", "shop.jfr.gz"))
		require.NoError(t, err)
		status, answer := ingest(t, "http://"+addr+"/ingest?name=java-shop%7Bregion%3Deu%7D&format=jfr&spyName=javaspy&sampleRate=50&from=1700000000&until=1700000003", "jvm", recording)
		require.Equal(t, http.StatusOK, status, answer)
		got := arrived(t, sink, map[string]string{"service_name": "java-shop"}, 3)
		names := map[string][]pyroscopesink.Profile{}
		for _, p := range got {
			require.Equal(t, "jvm", p.Tenant)
			require.Equal(t, "eu", p.Labels["region"])
			require.Equal(t, "javaspy", p.Labels["pyroscope_spy"])
			names[p.Labels["__name__"]] = append(names[p.Labels["__name__"]], p)
		}
		// The content according to `jfr summary`.
		pay := func(s pyroscopesink.Stack) bool { return s.Has("Shop.main", "Shop.pay") }
		for _, want := range []struct {
			name, sampleType string
			events           int64
		}{{"process_cpu", "cpu", 3 * int64(20*time.Millisecond)}, {"memory", "alloc_sample_objects", 49}, {"mutex", "contentions", 72}} {
			share, total := pyroscopesink.Share(pyroscopesink.Stacks(names[want.name], want.sampleType), pay)
			require.Equal(t, want.events, total, want.name)
			require.Greater(t, share, 0.9, want.name)
		}
	})

	t.Run("wrong", func(t *testing.T) {
		before := len(sink.Profiles(nil))
		whole := encodePprof(t, everythingInPprof())
		for _, c := range []struct {
			path string
			body string
			want int
			text string
		}{
			{"/ingest?name=shop&format=pprof", "not a profile", 400, "not a pprof message"},
			{"/ingest?name=shop&format=pprof", string(whole[:len(whole)/2]), 400, "gzip"},
			{"/ingest?name=shop&format=jfr", "not a recording", 400, "jfr"},
			{"/ingest?name=shop&format=speedscope", "{}", 415, "use pprof, jfr, groups or lines"},
			{"/ingest?name=shop%7Bthe+region=eu%7D", "a 1", 400, "write it like shop{region=eu}"},
			{"/ingest", "a 1", 400, "name"},
			{"/ingest?name=shop&from=yesterday", "a 1", 400, "yesterday"},
			{"/ingest?name=shop", "a;b", 400, "line 1"},
			{"/ingest?name=shop.teapots", "a 1", 400, "no profile type"},
			{"/ingest?name=shop&format=pprof", strings.Repeat("x", 20<<20+1), 413, "20971520"},
			{"/push.v1.PusherService/Push", "{}", 415, ""},
			{"/elsewhere", "", 404, ""},
		} {
			status, answer := ingest(t, "http://"+addr+c.path, "", []byte(c.body))
			assert.Equal(t, c.want, status, "%s: %s", c.path, answer)
			assert.Contains(t, answer, c.text, c.path)
		}
		client := pushv1connect.NewPusherServiceClient(http.DefaultClient, "http://"+addr)
		for _, c := range []struct {
			labels map[string]string
			text   string
		}{
			{map[string]string{"service_name": "x"}, "__name__ is missing"},
			{map[string]string{"__name__": "x", "a b": "c"}, "is not a label's name"},
			{nil, "at least one label"},
		} {
			err := pushProfile(t.Context(), client, "x", everythingInPprof(), c.labels)
			assert.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(err))
			require.ErrorContains(t, err, c.text)
		}
		// If any of it were forwarded, it would have arrived before this profile.
		require.NoError(t, pushProfile(t.Context(), client, "", everythingInPprof(), map[string]string{"__name__": "x", "service_name": "after"}))
		arrived(t, sink, map[string]string{"service_name": "after"}, 1)
		require.Equal(t, before+1, len(sink.Profiles(nil))) //nolint:testifylint // whole profiles would be printed
	})
	require.NoError(t, invar.Stop())
}

// TestPyroscopeOutage starts without a Pyroscope. Profiles wait on disk, even while the
// collector is killed, until Pyroscope starts. It disappears once more while it receives
// them, without a response. Every profile that was accepted from a client must arrive,
// complete and for its tenant.
func TestPyroscopeOutage(t *testing.T) {
	t.Parallel()
	addr, pyroscope := harness.FreeAddr(t), harness.FreeAddr(t)
	options := harness.Options{Config: `
receivers:
  pyroscope: {protocols: {http: {endpoint: "${env:PUSH}"}}}
exporters:
  pyroscope:
    endpoint: http://${env:PYROSCOPE}
    tenant: {header: X-Scope-OrgID}
    max_request_size: 16KiB
    retry_on_failure: {initial_interval: 50ms, max_interval: 200ms}
    sending_queue: {storage: file_storage, queue_size: 100000, batch: {flush_timeout: 50ms}}
extensions: {file_storage: {directory: "${env:STATE_DIR}"}}
service:
  extensions: [file_storage]
  pipelines: {profiles: {receivers: [pyroscope], exporters: [pyroscope]}}
`, Env: map[string]string{"PUSH": addr, "PYROSCOPE": pyroscope, "STATE_DIR": t.TempDir()}}

	const services = 150 // in each of the two lives
	shared := everythingInPprof()
	pushed := func(i int) *profile.Profile {
		p := shared.Copy()
		p.TimeNanos += int64(i)
		p.Sample[0].Value[1] += int64(i)
		return p
	}
	service := func(i int) string { return fmt.Sprintf("service-%03d", i) }
	tenant := func(i int) string { return []string{"even", "odd"}[i%2] }
	client := pushv1connect.NewPusherServiceClient(http.DefaultClient, "http://"+addr)
	var mu sync.Mutex
	var taken []int
	got := map[string][]pyroscopesink.Profile{}
	// life runs a collector and pushes from several clients. If kill is set, it kills the
	// collector meanwhile.
	life := func(first int, kill bool) {
		invar := harness.Invar(t, options)
		next := make(chan int)
		var pushing sync.WaitGroup
		for range 4 {
			pushing.Go(func() {
				for i := range next {
					err := pushProfile(t.Context(), client, tenant(i), pushed(i), map[string]string{"__name__": "process_cpu", "service_name": service(i)})
					mu.Lock()
					if err == nil {
						taken = append(taken, i)
					}
					mu.Unlock()
				}
			})
		}
		for i := first; i < first+services; i++ {
			if kill && i == first+services/2 {
				invar.Signal(syscall.SIGKILL)
			}
			next <- i
		}
		close(next)
		pushing.Wait()
		if kill {
			require.Error(t, invar.Wait(10*time.Second))
		}
	}
	life(0, true)
	t.Logf("%d taken until the kill", len(taken))
	require.GreaterOrEqual(t, len(taken), services/2-4, "those before the kill")
	before := len(taken)
	life(services, false)
	require.Len(t, taken, before+services, "all of the second life")

	record := func(p pyroscopesink.Profile) {
		mu.Lock()
		defer mu.Unlock()
		got[p.Labels["service_name"]] = append(got[p.Labels["service_name"]], p)
	}
	var arrives sync.Once
	arrived, left := make(chan struct{}), make(chan struct{})
	leaving, err := pyroscopesink.Start(pyroscope, func(p pyroscopesink.Profile) {
		record(p)
		arrives.Do(func() { close(arrived) })
		<-left
	})
	require.NoError(t, err)
	select {
	case <-arrived:
	case <-time.After(30 * time.Second):
		t.Error("nothing arrives")
	}
	require.NoError(t, leaving.Close())
	close(left)
	mu.Lock()
	require.Less(t, len(got), len(taken), "it goes away in the middle")
	mu.Unlock()
	returned, err := pyroscopesink.Start(pyroscope, record)
	require.NoError(t, err)
	t.Cleanup(func() { _ = returned.Close() })

	harness.Eventually(t, time.Minute, func() error {
		mu.Lock()
		defer mu.Unlock()
		missing := 0
		for _, i := range taken {
			if len(got[service(i)]) == 0 {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d are missing", missing, len(taken))
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	times := 0
	for i := range 2 * services {
		for _, p := range got[service(i)] {
			times++
			require.Equal(t, tenant(i), p.Tenant)
			require.Equal(t, pyroscopesink.Canonical(pushed(i)), pyroscopesink.Canonical(p.Pprof))
		}
	}
	t.Logf("%d profiles taken, %d arrived, %d times", len(taken), len(got), times)
}

// TestPyroscopeOverOTLP forwards profiles from one collector to another by OTLP, as agents
// do with a gateway. They must not change.
func TestPyroscopeOverOTLP(t *testing.T) {
	t.Parallel()
	sink := startPyroscope(t)
	grpc, web := harness.FreeAddr(t), harness.FreeAddr(t)
	harness.Invar(t, harness.Options{Config: `
receivers:
  otlp: {protocols: {grpc: {endpoint: "${env:OTLP_GRPC}"}, http: {endpoint: "${env:OTLP_HTTP}"}}}
exporters:
  pyroscope:
    endpoint: ${env:PYROSCOPE}
    tenant: {attribute: team}
    sending_queue: {batch: {flush_timeout: 100ms}}
service: {pipelines: {profiles: {receivers: [otlp], exporters: [pyroscope]}}}
`, Env: map[string]string{"OTLP_GRPC": grpc, "OTLP_HTTP": web, "PYROSCOPE": sink.URL}})
	byGRPC, byHTTP := harness.FreeAddr(t), harness.FreeAddr(t)
	harness.Invar(t, harness.Options{Config: `
receivers:
  pyroscope/grpc: {protocols: {http: {endpoint: "${env:BY_GRPC}"}}}
  pyroscope/http: {protocols: {http: {endpoint: "${env:BY_HTTP}"}}}
exporters:
  otlp_grpc: {endpoint: "${env:OTLP_GRPC}", tls: {insecure: true}, sending_queue: {batch: {flush_timeout: 100ms, min_size: 1000}}}
  otlp_http: {endpoint: "http://${env:OTLP_HTTP}"}
service:
  pipelines:
    profiles/grpc: {receivers: [pyroscope/grpc], exporters: [otlp_grpc]}
    profiles/http: {receivers: [pyroscope/http], exporters: [otlp_http]}
`, Env: map[string]string{"OTLP_GRPC": grpc, "OTLP_HTTP": web, "BY_GRPC": byGRPC, "BY_HTTP": byHTTP}})
	for path, addr := range map[string]string{"grpc": byGRPC, "http": byHTTP} {
		client := pushv1connect.NewPusherServiceClient(http.DefaultClient, "http://"+addr)
		// Several, because the exporter's batch merges their dictionaries.
		const n = 3
		for i := range n {
			p := everythingInPprof()
			p.Sample[0].Value[1] += int64(i)
			p.Function[0].Name += fmt.Sprint(i)
			require.NoError(t, pushProfile(t.Context(), client, "", p, map[string]string{
				"__name__": "wall", "service_name": path, "team": "shop", "replica": fmt.Sprint(i),
			}))
		}
		got := arrived(t, sink, map[string]string{"service_name": path}, n)
		for i := range n {
			want := everythingInPprof()
			want.Sample[0].Value[1] += int64(i)
			want.Function[0].Name += fmt.Sprint(i)
			at := slices.IndexFunc(got, func(p pyroscopesink.Profile) bool { return p.Labels["replica"] == fmt.Sprint(i) })
			require.GreaterOrEqual(t, at, 0, path)
			require.Equal(t, map[string]string{"__name__": "wall", "service_name": path, "replica": fmt.Sprint(i)}, got[at].Labels)
			require.Equal(t, "shop", got[at].Tenant)
			require.Equal(t, pyroscopesink.Canonical(want), pyroscopesink.Canonical(got[at].Pprof), path)
		}
	}
}

// allocated returns a profile of allocations in main.
func allocated(bytes int64) *profile.Profile {
	f := &profile.Function{ID: 1, Name: "main"}
	l := &profile.Location{ID: 1, Line: []profile.Line{{Function: f}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "alloc_space", Unit: "bytes"}},
		Function:   []*profile.Function{f}, Location: []*profile.Location{l},
		Sample:    []*profile.Sample{{Location: []*profile.Location{l}, Value: []int64{bytes}}},
		TimeNanos: int64(time.Second),
	}
}

func uncompressed(t *testing.T, p *profile.Profile) []byte {
	t.Helper()
	var buf bytes.Buffer
	require.NoError(t, p.WriteUncompressed(&buf))
	return buf.Bytes()
}
