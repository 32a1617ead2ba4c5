package pyroscopeexporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/exporter/xexporter"
	"go.opentelemetry.io/collector/pdata/pprofile"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/profiles/profiledict"
	"github.com/invar-otel/invar/internal/push/storagetest"
)

// typed returns cpuProfile with other sample types.
func typed(types ...string) *profile.Profile {
	p := cpuProfile(1)
	p.SampleType, p.PeriodType, p.Period = nil, nil, 0
	p.Sample[0].Value = nil
	for i, typ := range types {
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: typ, Unit: "count"})
		p.Sample[0].Value = append(p.Sample[0].Value, int64(i+1))
	}
	return p
}

// TestDifference labels profiles of counters as differences, unless their sender marked
// them as cumulative or set the label.
func TestDifference(t *testing.T) {
	f := func(name, attribute string, cumulative bool, want string, types ...string) {
		t.Helper()
		s := newSink(t)
		e := exporterFor(t, s.server.URL, "")
		resource := service("shop")
		if attribute != "" {
			resource["__delta__"] = attribute
		}
		pd := profilesOf(t, typed(types...), resource)
		sp := pd.ResourceProfiles().At(0).ScopeProfiles().At(0)
		if name != "" {
			pprofconv.SetName(sp, name)
		}
		if cumulative {
			pprofconv.SetCumulative(sp)
		}
		require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
		require.Len(t, s.profiles, 1)
		require.Equal(t, want, s.profiles[0].labels["__delta__"])
	}
	memory := []string{"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"}
	f("", "", false, "false", memory...) // from an OTLP sender
	f("memory", "", false, "false", memory...)
	f("block", "", false, "false", "contentions", "delay")
	f("mutex", "", false, "false", "contentions", "delay")
	f("memory", "", true, "", memory...)            // from a client that did not set the label
	f("memory", "false", false, "false", memory...) // from one that did
	f("memory", "true", false, "true", memory...)
	f("process_cpu", "", false, "", "samples")
	f("goroutine", "", false, "", "goroutine")
}

// TestKindsOfOneScope has several kinds of profiles in a scope without a name. Each
// gets a name of its own.
func TestKindsOfOneScope(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	p := typed("cpu", "off_cpu", "samples", "inuse_space", "wall", "goroutine", "delay", "custom")
	require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, p, service("shop")))))
	got := map[string][]string{}
	for _, r := range s.profiles {
		for i, typ := range r.pprof.SampleType {
			got[r.labels["__name__"]] = append(got[r.labels["__name__"]], typ.Type)
			require.Equal(t, int64(1+slices.IndexFunc(p.SampleType, func(v *profile.ValueType) bool { return v.Type == typ.Type })), r.pprof.Sample[0].Value[i])
		}
	}
	require.Equal(t, map[string][]string{
		"process_cpu": {"cpu", "samples"}, "off_cpu": {"off_cpu"}, "wall": {"wall"}, "memory": {"inuse_space"},
		"goroutine": {"goroutine"}, "block": {"delay"}, "custom": {"custom"},
	}, got)
}

// TestNegativeValues drops samples with negative values, and counts them once for
// several attempts.
func TestNegativeValues(t *testing.T) {
	s := newSink(t)
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	set := exportertest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = telemetry.NewTelemetrySettings()
	cfg, err := parse(t, "endpoint: "+s.server.URL)
	require.NoError(t, err)
	e, err := newExporter(set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.shutdown(context.Background())) })

	p := typed("goroutine")
	p.Sample = append(p.Sample, &profile.Sample{Location: p.Sample[0].Location, Value: []int64{-1}})
	p.Sample[0].Value[0] = 5
	req := batchOf(t, profilesOf(t, p, service("shop")))
	s.answer = func(http.Header, []received) error {
		return connect.NewError(connect.CodeUnavailable, errors.New("away"))
	}
	for range 3 {
		require.Error(t, e.push(t.Context(), req))
	}
	s.answer = nil
	require.NoError(t, e.push(t.Context(), req))
	require.Len(t, s.profiles, 1)
	require.Equal(t, []int64{5}, s.profiles[0].pprof.Sample[0].Value)
	m, err := telemetry.GetMetric("otelcol_exporter_pyroscope_refused_profile_samples")
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"negative_value": 1}, byReason(t, m))

	// A profile without other samples is done.
	p.Sample = p.Sample[1:]
	req = batchOf(t, profilesOf(t, p, service("shop")))
	require.NoError(t, e.push(t.Context(), req))
	left, _ := (&delivery{exporter: e}).gather(req)
	require.Empty(t, left)
	require.Len(t, s.profiles, 1)
}

// TestTraceOfASample keeps the IDs of a sample's span and trace.
func TestTraceOfASample(t *testing.T) {
	const span, trace = "ab01020304050607", "cd0102030405060708090a0b0c0d0e0f"
	f := func(config string, want map[string][]string) {
		t.Helper()
		s := newSink(t)
		e := exporterFor(t, s.server.URL, config)
		p := cpuProfile(1)
		p.Sample[0].Label = map[string][]string{"span_id": {span}, "trace_id": {trace}}
		require.NoError(t, e.push(t.Context(), batchOf(t, profilesOf(t, p, service("shop")))))
		require.Equal(t, want, s.profiles[0].pprof.Sample[0].Label)
	}
	f("", map[string][]string{"span_id": {span}, "trace_id": {trace}})
	f("sample_labels: {exclude: [trace_id]}", map[string][]string{"span_id": {span}})
}

// TestManyTenants delays many tenants. The error does not grow with their number.
func TestManyTenants(t *testing.T) {
	s := newSink(t)
	s.answer = func(http.Header, []received) error {
		return connect.NewError(connect.CodeUnavailable, errors.New(strings.Repeat("away ", 1000)))
	}
	e := exporterFor(t, s.server.URL, "tenant: {attribute: team}")
	resources := make([]map[string]string, 200)
	for i := range resources {
		resources[i] = map[string]string{"team": fmt.Sprint("team-", i)}
	}
	err := e.push(t.Context(), batchOf(t, profilesOf(t, cpuProfile(1), resources...)))
	require.ErrorContains(t, err, "away")
	require.ErrorContains(t, err, "200 times")
	require.Less(t, len(err.Error()), 8<<10)
	require.Equal(t, 200, s.requests)
}

// TestLargeStack has many samples with one stack, which a pprof message repeats for
// each. The message would be too large and is not built.
func TestLargeStack(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	pd := pprofile.NewProfiles()
	b := profiledict.New(pd)
	b.Dict.LocationTable().AppendEmpty()
	stack := b.Stack(slices.Repeat([]int32{1}, 100_000))
	rp := pd.ResourceProfiles().AppendEmpty()
	p := rp.ScopeProfiles().AppendEmpty().Profiles().AppendEmpty()
	for i := range 1000 {
		sample := p.Samples().AppendEmpty()
		sample.SetStackIndex(stack)
		sample.Values().Append(1)
		sample.AttributeIndices().Append(b.IntAttribute("id", int64(i), ""))
	}
	good := pd.ResourceProfiles().AppendEmpty()
	good.Resource().Attributes().PutStr("service.name", "good")
	p.CopyTo(good.ScopeProfiles().AppendEmpty().Profiles().AppendEmpty())
	good.ScopeProfiles().At(0).Profiles().At(0).Samples().RemoveIf(func(s pprofile.Sample) bool { return s.AttributeIndices().At(0) > 5 })
	require.NoError(t, e.push(t.Context(), batchOf(t, pd)))
	require.Equal(t, []string{"good"}, s.services())
}

// TestManyScopes has scopes that repeat the large labels of their resource. They are
// gathered and sent in several rounds.
func TestManyScopes(t *testing.T) {
	s := newSink(t)
	e := exporterFor(t, s.server.URL, "")
	pd := profilesOf(t, cpuProfile(1), map[string]string{"service.name": "shop", "large": strings.Repeat("x", 1<<20)})
	scopes := pd.ResourceProfiles().At(0).ScopeProfiles()
	for i := range 80 {
		sp := scopes.AppendEmpty()
		scopes.At(0).CopyTo(sp)
		pprofconv.SetName(sp, fmt.Sprint("name", i))
	}
	req := batchOf(t, pd)
	d := &delivery{exporter: e}
	first, more := d.gather(req)
	require.True(t, more)
	require.Less(t, len(first[0].series), 40)
	require.NoError(t, e.push(t.Context(), req))
	names := map[string]bool{}
	for _, r := range s.profiles {
		names[r.labels["__name__"]] = true
	}
	require.Len(t, names, 81)
	require.Len(t, s.profiles, 81)
}

// TestShutdownLog checks that profiles in a persistent queue are not logged as dropped.
func TestShutdownLog(t *testing.T) {
	f := func(queue, want, not string) {
		t.Helper()
		s := newSink(t)
		attempts := make(chan struct{}, 10)
		s.answer = func(http.Header, []received) error {
			attempts <- struct{}{}
			return connect.NewError(connect.CodeUnavailable, errors.New("away"))
		}
		cfg, err := parse(t, "endpoint: "+s.server.URL+"\nretry_on_failure: {initial_interval: 1h, max_interval: 1h}\nsending_queue: {"+queue+"batch: {flush_timeout: 1ms, min_size: 1, sizer: bytes}}")
		require.NoError(t, err)
		core, logs := observer.New(zap.InfoLevel)
		set := exportertest.NewNopSettings(metadata.Type)
		set.Logger = zap.New(core)
		e, err := NewFactory().(xexporter.Factory).CreateProfiles(t.Context(), set, cfg)
		require.NoError(t, err)
		extensions := storagetest.NewDisk().GetExtensions()
		require.NoError(t, e.Start(t.Context(), &host{extensions: extensions}))
		require.NoError(t, e.ConsumeProfiles(t.Context(), profilesOf(t, cpuProfile(1), service("a"))))
		<-attempts
		require.NoError(t, e.Shutdown(t.Context()))
		var lines []string
		for _, l := range logs.All() {
			lines = append(lines, l.Message)
		}
		require.Contains(t, strings.Join(lines, "\n"), want)
		require.NotContains(t, strings.Join(lines, "\n"), not)
	}
	f("storage: disk, ", "kept in the sending queue's storage", "Dropping")
	f("", "Dropping", "kept in the sending queue's storage")
}

// byReason returns the values of a counter by the attribute reason.
func byReason(t *testing.T, m metricdata.Metrics) map[string]int64 {
	t.Helper()
	all := map[string]int64{}
	for _, point := range m.Data.(metricdata.Sum[int64]).DataPoints {
		why, _ := point.Attributes.Value("reason")
		all[why.AsString()] = point.Value
	}
	return all
}
