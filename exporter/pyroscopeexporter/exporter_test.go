package pyroscopeexporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/profiles/pprofconv"
)

func TestPush(t *testing.T) {
	for _, config := range []string{"", "compression: gzip", "headers: {X-Scope-OrgID: all, X-Extra: \"1\"}"} {
		s := newSink(t)
		e := exporterFor(t, s.server.URL, config)
		p := cpuProfile(3, 4)
		p.Sample[1].Label = map[string][]string{"endpoint": {"/cart"}, "thread.name": {"worker"}, "trace_id": {"0af7651916cd43dd8448eb211c80319c"}}
		pd := profilesOf(t, p, map[string]string{"service.name": "shop", "k8s.namespace.name": "prod", "process.pid": "7"})
		require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
		require.Len(t, s.profiles, 1)
		r := s.profiles[0]
		require.Equal(t, map[string]string{"__name__": "process_cpu", "service_name": "shop", "k8s_namespace_name": "prod"}, r.labels)

		got := r.pprof
		require.Equal(t, []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}}, got.SampleType)
		require.Equal(t, "cpu", got.PeriodType.Type)
		require.Equal(t, "nanoseconds", got.PeriodType.Unit)
		require.EqualValues(t, 10_000_000, got.Period)
		require.Equal(t, p.TimeNanos, got.TimeNanos)
		require.Equal(t, p.DurationNanos, got.DurationNanos)
		require.Equal(t, "/bin/app", got.Mapping[0].File)
		require.Equal(t, "abc123", got.Mapping[0].BuildID)
		require.EqualValues(t, 0x400000, got.Mapping[0].Start)
		require.Len(t, got.Sample, 2)
		for i, v := range []int64{3, 4} {
			sample := got.Sample[i]
			require.Equal(t, []int64{v, v * 10_000_000}, sample.Value)
			require.Equal(t, "main.work", sample.Location[0].Line[0].Function.Name)
			require.Equal(t, "/src/work.go", sample.Location[0].Line[0].Function.Filename)
			require.EqualValues(t, 30+i, sample.Location[0].Line[0].Line)
			require.Equal(t, "main.main", sample.Location[1].Line[0].Function.Name)
			require.EqualValues(t, 10, sample.Location[1].Line[0].Function.StartLine)
		}
		require.Equal(t, map[string][]string{"endpoint": {"/cart"}, "trace_id": {"0af7651916cd43dd8448eb211c80319c"}}, got.Sample[1].Label, "threads would be series")

		switch config {
		case "compression: gzip":
			require.Equal(t, "gzip", s.header.Get("Content-Encoding"))
		case "":
			require.Empty(t, s.header.Get("Content-Encoding"))
		default:
			require.Equal(t, "all", r.tenant)
			require.Equal(t, "1", s.header.Get("X-Extra"))
		}
		require.Equal(t, "otelcol/latest", s.header.Get("User-Agent"))
	}
}

// TestCPUTime has a profile without CPU time, like those of the eBPF profiler.
func TestCPUTime(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	p := cpuProfile(3)
	p.SampleType = p.SampleType[:1]
	p.Sample[0].Value = p.Sample[0].Value[:1]
	require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, p, nil))))
	got := s.profiles[0].pprof
	require.Len(t, got.SampleType, 2)
	require.Equal(t, "cpu", got.SampleType[1].Type)
	require.Equal(t, []int64{3, 30_000_000}, got.Sample[0].Value)
}

// TestSeries checks which profiles are added up and which stay apart.
func TestSeries(t *testing.T) {
	f := func(name string, change func(second pprofile.ResourceProfiles), wantProfiles int, wantValue int64) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			s := newSink(t)
			e := exporterFor(t, s.server.URL, "")
			pd := profilesOf(t, cpuProfile(3), map[string]string{"service.name": "shop", "process.pid": "1"}, map[string]string{"service.name": "shop", "process.pid": "2"})
			change(pd.ResourceProfiles().At(1))
			require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
			require.Equal(t, 1, s.requests)
			require.Len(t, s.profiles, wantProfiles)
			require.Equal(t, wantValue, s.profiles[0].pprof.Sample[0].Value[0])
		})
	}
	each := func(rp pprofile.ResourceProfiles, do func(pprofile.Profile)) {
		for _, p := range rp.ScopeProfiles().At(0).Profiles().All() {
			do(p)
		}
	}
	f("another process", func(pprofile.ResourceProfiles) {}, 1, 6)
	f("another service", func(rp pprofile.ResourceProfiles) { rp.Resource().Attributes().PutStr("service.name", "cart") }, 2, 3)
	f("another name", func(rp pprofile.ResourceProfiles) { pprofconv.SetName(rp.ScopeProfiles().At(0), "wall") }, 2, 3)
	f("another period type", func(rp pprofile.ResourceProfiles) {
		each(rp, func(p pprofile.Profile) { p.PeriodType().SetTypeStrindex(p.PeriodType().UnitStrindex()) })
	}, 2, 3)
	f("another period", func(rp pprofile.ResourceProfiles) {
		each(rp, func(p pprofile.Profile) { p.SetPeriod(1) })
	}, 2, 3)
	f("another time", func(rp pprofile.ResourceProfiles) {
		each(rp, func(p pprofile.Profile) { p.SetTime(p.Time() + 5_000_000_000) })
	}, 2, 3)
	f("no samples", func(rp pprofile.ResourceProfiles) {
		each(rp, func(p pprofile.Profile) {
			p.Samples().RemoveIf(func(pprofile.Sample) bool { return true })
		})
	}, 1, 3)
}

func TestNothingToSend(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(), service("a")))))
	require.NoError(t, e.push(t.Context(), batchOf(t, pprofile.NewProfiles())))
	require.Zero(t, s.requests)
}

// TestMalformed has profiles with references outside their dictionary.
func TestMalformed(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	pd := profilesOf(t, cpuProfile(1), service("a"), service("b"), service("c"))
	pd.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(0).PeriodType().SetTypeStrindex(9999)
	pd.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().At(1).PeriodType().SetTypeStrindex(-1)
	for _, p := range pd.ResourceProfiles().At(1).ScopeProfiles().At(0).Profiles().All() {
		p.Samples().At(0).SetStackIndex(9999)
	}
	require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
	require.Equal(t, []string{"c"}, s.services())
}

func TestTenants(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "headers: {x-scope-orgid: all}\ntenant: {attribute: team}")
	red, forged, impossible := service("b"), service("c"), service("d")
	red["team"] = "red"
	forged[attributeTenant] = "blue"
	impossible["team"] = "line\nbreak"
	pd := profilesOf(t, cpuProfile(1), service("a"), red, forged, impossible)
	require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
	got := map[string]string{}
	for _, r := range s.profiles {
		got[r.labels["service_name"]] = r.tenant
		require.NotContains(t, r.labels, "team")
		require.NotContains(t, r.labels, "pyroscope_tenant_header")
	}
	require.Equal(t, map[string]string{"a": "all", "b": "red", "c": "all"}, got)
	require.Equal(t, 2, s.requests)
}

// create returns the whole exporter, with exporterhelper.
func create(t *testing.T, endpoint, config string) xexporter.Profiles {
	t.Helper()
	cfg, err := parse(t, "endpoint: "+endpoint+"\n"+config)
	require.NoError(t, err)
	e, err := NewFactory().(xexporter.Factory).CreateProfiles(t.Context(), exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	return e
}

// TestTenantOfHeader uses the whole exporter with its queue, which does not keep the
// context.
func TestTenantOfHeader(t *testing.T) {
	s := newSink(t)
	e := create(t, s.server.URL, "tenant: {header: X-Scope-OrgID, value: none}")
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.True(t, e.Capabilities().MutatesData)
	ctx := client.NewContext(t.Context(), client.Info{Metadata: client.NewMetadata(map[string][]string{"x-scope-orgid": {"blue"}})})
	require.NoError(t, e.ConsumeProfiles(ctx, profilesOf(t, cpuProfile(1), service("a"))))
	forged := service("b")
	forged[attributeTenant] = "blue"
	require.NoError(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), forged)))
	require.NoError(t, e.Shutdown(t.Context()))
	got := map[string]string{}
	for _, r := range s.profiles {
		got[r.labels["service_name"]] = r.tenant
	}
	require.Equal(t, map[string]string{"a": "blue", "b": "none"}, got)
}

func TestShutdownWithoutStart(t *testing.T) {
	require.NoError(t, create(t, "http://localhost:4040", "").Shutdown(t.Context()))
	require.NoError(t, create(t, "http://localhost:4040", "sending_queue: {enabled: false}").Shutdown(t.Context()))
}

// TestBatch sends several messages in one request. Each has its own dictionary.
func TestBatch(t *testing.T) {
	s := newSink(t)
	e := create(t, s.server.URL, "sending_queue: {batch: {flush_timeout: 1h, min_size: 1000000000, sizer: bytes}, queue_size: 2000}")
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), service(name))))
	}
	require.NoError(t, e.Shutdown(t.Context()))
	require.Equal(t, []string{"a", "b", "c"}, s.services())
	require.Equal(t, 1, s.requests)
}

// TestWithoutQueue returns the outcome to the caller.
func TestWithoutQueue(t *testing.T) {
	s := newSink(t)
	e := create(t, s.server.URL, "sending_queue: {enabled: false}\nretry_on_failure: {enabled: false}")
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), service("a"))))
	s.answer = func(http.Header, []received) error {
		return connect.NewError(connect.CodeUnavailable, errors.New("busy"))
	}
	require.ErrorContains(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), service("a"))), "unavailable: busy")
	require.NoError(t, e.Shutdown(t.Context()))
}

// TestCancelled cancels an attempt without an answer.
func TestCancelled(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	e := exporterFor(t, server.URL, "")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := e.push(ctx, batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
	require.ErrorIs(t, err, context.DeadlineExceeded)

	e = exporterFor(t, server.URL, "timeout: 50ms")
	err = e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), service("a"))))
	require.ErrorContains(t, err, "deadline_exceeded")
}

// host records the status that is reported to it.
type host struct {
	mu         sync.Mutex
	events     []componentstatus.Status
	extensions map[component.ID]component.Component
}

func (h *host) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *host) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e.Status())
}

func TestStatus(t *testing.T) {
	s := newSink(t)
	cfg, err := parse(t, "endpoint: "+s.server.URL)
	require.NoError(t, err)
	e, err := newExporter(exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	h := new(host)
	require.NoError(t, e.start(t.Context(), h))
	pd := profilesOf(t, cpuProfile(1), service("a"))
	code := connect.CodeUnavailable
	s.answer = func(http.Header, []received) error { return connect.NewError(code, errors.New("no")) }
	for range 3 {
		require.Error(t, e.push(t.Context(), batchOf(t, pd)))
	}
	code = connect.CodeInvalidArgument
	require.NoError(t, e.push(t.Context(), batchOf(t, pd)), "it answers, so the status is OK")
	require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, h.events)
	require.NoError(t, e.shutdown(t.Context()))
}

func TestTelemetry(t *testing.T) {
	s := newSink(t)
	s.answer = func(_ http.Header, profiles []received) error {
		for _, r := range profiles {
			if r.labels["service_name"] == "bad" {
				return connect.NewError(connect.CodeInvalidArgument, errors.New("profile with labels '{}' has label value too long: 'x'"))
			}
		}
		return nil
	}
	tel := componenttest.NewTelemetry()
	defer func() { require.NoError(t, tel.Shutdown(context.Background())) }()
	set := exportertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	cfg, err := parse(t, "endpoint: "+s.server.URL)
	require.NoError(t, err)
	e, err := newExporter(set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.start(t.Context(), componenttest.NewNopHost()))
	bad := service("bad")
	bad["x.y"], bad["x_y"] = "1", "2"
	req := batchOf(t, profilesOf(t, cpuProfile(1, 2), service("good"), bad))
	require.NoError(t, e.push(t.Context(), req))
	require.NoError(t, e.push(t.Context(), req), "nothing is counted twice")
	require.NoError(t, e.shutdown(t.Context()))

	want := map[string]int64{"sent_profiles": 1, "refused_profile_samples": 4, "divided_requests": 2, "conflicting_labels": 1}
	for name, value := range want {
		m, err := tel.GetMetric("otelcol_exporter_pyroscope_" + name)
		require.NoError(t, err)
		require.Equal(t, value, sum(t, m), name)
	}
	for _, name := range []string{"profile_bytes", "request_bytes"} {
		m, err := tel.GetMetric("otelcol_exporter_pyroscope_" + name)
		require.NoError(t, err)
		require.Positive(t, sum(t, m), name)
	}
	refused, err := tel.GetMetric("otelcol_exporter_pyroscope_" + "refused_profile_samples")
	require.NoError(t, err)
	require.Contains(t, fmt.Sprint(refused.Data), "label_value_too_long")
}

func sum(t *testing.T, m metricdata.Metrics) int64 {
	t.Helper()
	data, ok := m.Data.(metricdata.Sum[int64])
	require.True(t, ok)
	total := int64(0)
	for _, point := range data.DataPoints {
		total += point.Value
	}
	return total
}
