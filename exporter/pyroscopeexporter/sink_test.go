package pyroscopeexporter

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/pprof/profile"
	pushv1 "github.com/grafana/pyroscope/api/gen/proto/go/push/v1"
	"github.com/grafana/pyroscope/api/gen/proto/go/push/v1/pushv1connect"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/exporter/pyroscopeexporter/internal/metadata"
	"github.com/invar-otel/invar/internal/profiles/pprofconv"
	"github.com/invar-otel/invar/internal/push"
)

// received is a profile that the sink has accepted.
type received struct {
	tenant string
	labels map[string]string
	pprof  *profile.Profile
}

// sink implements Pyroscope's push API. It answers as a test wants and keeps the
// profiles it accepts.
type sink struct {
	server *httptest.Server
	// answer is called for every request. If it is nil or returns nil, the request is
	// accepted.
	answer func(header http.Header, profiles []received) error

	mu       sync.Mutex
	requests int
	header   http.Header // of the last request
	profiles []received
}

func newSink(t testing.TB) *sink {
	s := new(sink)
	mux := http.NewServeMux()
	mux.Handle(pushv1connect.NewPusherServiceHandler(s))
	s.server = httptest.NewServer(mux)
	t.Cleanup(s.server.Close)
	return s
}

// Push implements pushv1connect.PusherServiceHandler. It answers a request that
// Pyroscope would always refuse with an internal error, which no test expects.
func (s *sink) Push(_ context.Context, req *connect.Request[pushv1.PushRequest]) (*connect.Response[pushv1.PushResponse], error) {
	var profiles []received
	for _, series := range req.Msg.Series {
		r := received{tenant: req.Header().Get(push.TenantHeader), labels: map[string]string{}}
		for i, l := range series.Labels {
			if i > 0 && series.Labels[i-1].Name >= l.Name {
				return nil, fmt.Errorf("labels are not sorted: %v", series.Labels)
			}
			r.labels[l.Name] = l.Value
		}
		if r.labels["__name__"] == "" || r.labels["service_name"] == "" {
			return nil, fmt.Errorf("labels are missing: %v", r.labels)
		}
		for _, sample := range series.Samples {
			p, err := profile.ParseData(sample.RawProfile)
			if err != nil {
				return nil, err
			}
			if err := p.CheckValid(); err != nil {
				return nil, err
			}
			if len(sample.ID) != 36 {
				return nil, fmt.Errorf("%q is not a UUID", sample.ID)
			}
			r.pprof = p
			profiles = append(profiles, r)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	s.header = req.Header()
	if s.answer != nil {
		if err := s.answer(req.Header(), profiles); err != nil {
			return nil, err
		}
	}
	s.profiles = append(s.profiles, profiles...)
	return connect.NewResponse(&pushv1.PushResponse{}), nil
}

// services returns the service names of the accepted profiles, sorted.
func (s *sink) services() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.profiles {
		all = append(all, r.labels["service_name"])
	}
	slices.Sort(all)
	return all
}

// exporterFor starts an exporter that sends to the endpoint, without exporterhelper.
func exporterFor(t testing.TB, endpoint, config string) *pyroscopeExporter {
	t.Helper()
	cfg, err := parse(t, "endpoint: "+endpoint+"\n"+config)
	require.NoError(t, err)
	e, err := newExporter(exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.shutdown(context.Background())) })
	return e
}

func batchOf(t testing.TB, pd pprofile.Profiles) *batch {
	t.Helper()
	r, err := newBatch(t.Context(), pd)
	require.NoError(t, err)
	return r.(*batch)
}

// cpuProfile returns a CPU profile as Go's runtime writes it, with a stack of main and
// work for each value.
func cpuProfile(values ...int64) *profile.Profile {
	mapping := &profile.Mapping{ID: 1, Start: 0x400000, Limit: 0x500000, Offset: 0x1000, File: "/bin/app", BuildID: "abc123", HasFunctions: true}
	main := &profile.Function{ID: 1, Name: "main.main", SystemName: "main.main", Filename: "/src/main.go", StartLine: 10}
	work := &profile.Function{ID: 2, Name: "main.work", SystemName: "main.work", Filename: "/src/work.go", StartLine: 20}
	root := &profile.Location{ID: 1, Mapping: mapping, Address: 0x401000, Line: []profile.Line{{Function: main, Line: 12}}}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_000_000,
		TimeNanos: 1_700_000_000_000_000_000, DurationNanos: 5_000_000_000,
		Mapping: []*profile.Mapping{mapping}, Function: []*profile.Function{main, work}, Location: []*profile.Location{root},
	}
	for i, v := range values {
		leaf := &profile.Location{ID: uint64(i + 2), Mapping: mapping, Address: uint64(0x402000 + i), Line: []profile.Line{{Function: work, Line: int64(30 + i)}}}
		p.Location = append(p.Location, leaf)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{leaf, root}, Value: []int64{v, v * 10_000_000}})
	}
	return p
}

// profilesOf returns a message with the same profile for several resources, which are
// given by their attributes.
func profilesOf(t testing.TB, p *profile.Profile, resources ...map[string]string) pprofile.Profiles {
	t.Helper()
	pd, err := pprofconv.FromPprof(p)
	require.NoError(t, err)
	for i, attributes := range resources {
		if i > 0 {
			pd.ResourceProfiles().At(0).CopyTo(pd.ResourceProfiles().AppendEmpty())
			pd.ResourceProfiles().At(i).Resource().Attributes().Clear()
		}
		for k, v := range attributes {
			pd.ResourceProfiles().At(i).Resource().Attributes().PutStr(k, v)
		}
	}
	return pd
}

// service returns the attributes of a resource with this service name.
func service(name string) map[string]string { return map[string]string{"service.name": name} }
