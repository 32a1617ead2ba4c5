package opampserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/client"
	"github.com/open-telemetry/opamp-go/client/types"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ Fleet = (*fleet.Fleet)(nil)

const testTimeout = 20 * time.Second

// recorder is a fleet that records sightings and offers what the test sets.
type recorder struct {
	t *testing.T

	mu        sync.Mutex
	offers    map[string]remoteconf.Set // by id; "" for all others
	sightings []fleet.Sighting
	gone      []string
	err       error
	changed   func()
}

func (f *recorder) Seen(_ context.Context, s fleet.Sighting) (fleet.Offer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return fleet.Offer{}, f.err
	}
	f.sightings = append(f.sightings, s)
	set, ok := f.offers[s.ID]
	if !ok {
		set = f.offers[""]
	}
	return fleet.Offer{Set: set, Hash: set.Hash()}, nil
}

func (f *recorder) Gone(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gone = append(f.gone, id)
	return nil
}

func (f *recorder) Watch(ctx context.Context, changed func()) {
	f.mu.Lock()
	f.changed = changed
	f.mu.Unlock()
	<-ctx.Done()
}

// offer sets what is offered, and notifies the watcher.
func (f *recorder) offer(id string, set remoteconf.Set) {
	f.mu.Lock()
	if f.offers == nil {
		f.offers = map[string]remoteconf.Set{}
	}
	f.offers[id] = set
	changed := f.changed
	f.mu.Unlock()
	if changed != nil {
		changed()
	}
}

func (f *recorder) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *recorder) seen() []fleet.Sighting {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]fleet.Sighting(nil), f.sightings...)
}

// await returns the first sighting that is wanted, and waits for it.
func (f *recorder) await(wanted func(s fleet.Sighting) bool) fleet.Sighting {
	f.t.Helper()
	var found fleet.Sighting
	require.Eventually(f.t, func() bool {
		for _, s := range f.seen() {
			if wanted(s) {
				found = s
				return true
			}
		}
		return false
	}, testTimeout, time.Millisecond)
	return found
}

// testServer is a Server behind an HTTP server, with a recorder as its fleet.
type testServer struct {
	server *Server
	*recorder
	http *httptest.Server
}

func run(t *testing.T, change func(*Server)) *testServer {
	t.Helper()
	r := &testServer{recorder: &recorder{t: t}}
	var err error
	r.server, err = New(Settings{Fleet: r.recorder, Logger: zap.NewNop()})
	require.NoError(t, err)
	if change != nil {
		change(r.server)
	}
	mux := http.NewServeMux()
	mux.Handle(Path, r.server)
	r.http = httptest.NewServer(mux)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan bool)
	go func() {
		defer close(ended)
		r.server.Run(ctx)
	}()
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.changed != nil
	}, testTimeout, time.Millisecond)
	t.Cleanup(func() {
		stop()
		<-ended
		r.http.Close()
	})
	return r
}

func (r *testServer) url(scheme string) string {
	return scheme + strings.TrimPrefix(r.http.URL, "http") + Path
}

var schemes = []string{"ws", "http"}

// testAgent is an agent that uses opamp-go's client.
type testAgent struct {
	client.OpAMPClient
	t       *testing.T
	uid     uuid.UUID
	configs chan *protobufs.AgentRemoteConfig
	renamed chan uuid.UUID
	errors  chan *protobufs.ServerErrorResponse
	stop    func()
}

const everything = protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus | protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig | protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth | protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents |
	protobufs.AgentCapabilities_AgentCapabilities_ReportsHeartbeat

// agent starts a testAgent with these capabilities.
func (r *testServer) agent(scheme string, uid uuid.UUID, capabilities protobufs.AgentCapabilities) *testAgent {
	t := r.t
	t.Helper()
	a := &testAgent{
		t: t, uid: uid, configs: make(chan *protobufs.AgentRemoteConfig, 1000), renamed: make(chan uuid.UUID, 1000),
		errors: make(chan *protobufs.ServerErrorResponse, 1000),
	}
	interval := 50 * time.Millisecond
	if scheme == "ws" {
		a.OpAMPClient = client.NewWebSocket(nil)
		interval = time.Hour // what is sent is pushed
	} else {
		a.OpAMPClient = client.NewHTTP(nil)
	}
	str := func(k, v string) *protobufs.KeyValue {
		return &protobufs.KeyValue{Key: k, Value: &protobufs.AnyValue{Value: &protobufs.AnyValue_StringValue{StringValue: v}}}
	}
	require.NoError(t, a.SetAgentDescription(&protobufs.AgentDescription{
		IdentifyingAttributes:    []*protobufs.KeyValue{str("service.name", "test"), str("service.version", "1.2.3")},
		NonIdentifyingAttributes: []*protobufs.KeyValue{str("os.type", "linux"), str("env", "prod"), str("host.name", "here")},
	}))
	require.NoError(t, a.SetHealth(&protobufs.ComponentHealth{Healthy: true}))
	require.NoError(t, a.SetAvailableComponents(&protobufs.AvailableComponents{Hash: []byte{1}, Components: map[string]*protobufs.ComponentDetails{
		"receivers": {SubComponentMap: map[string]*protobufs.ComponentDetails{"otlp": {}}},
	}}))
	require.NoError(t, a.SetCapabilities(&capabilities))
	require.NoError(t, a.Start(t.Context(), types.StartSettings{
		OpAMPServerURL: r.url(scheme), InstanceUid: types.InstanceUid(uid), HeartbeatInterval: &interval,
		Callbacks: types.Callbacks{
			OnMessage: func(_ context.Context, m *types.MessageData) {
				if m.RemoteConfig != nil {
					a.configs <- m.RemoteConfig
				}
				if m.AgentIdentification != nil {
					a.renamed <- uuid.UUID(m.AgentIdentification.NewInstanceUid)
				}
			},
			OnError: func(_ context.Context, err *protobufs.ServerErrorResponse) { a.errors <- err },
			GetEffectiveConfig: func(context.Context) (*protobufs.EffectiveConfig, error) {
				return &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: map[string]*protobufs.AgentConfigFile{"": {Body: []byte("x: 1")}}}}, nil
			},
		},
	}))
	a.stop = sync.OnceFunc(func() { require.NoError(t, a.Stop(context.Background())) })
	t.Cleanup(a.stop)
	return a
}

// next returns the next configuration that the agent receives.
func (a *testAgent) next() *protobufs.AgentRemoteConfig {
	a.t.Helper()
	select {
	case c := <-a.configs:
		return c
	case <-time.After(testTimeout):
		require.Fail(a.t, "no configuration")
		return nil
	}
}

func (a *testAgent) report(hash []byte, status protobufs.RemoteConfigStatuses, message string) {
	require.NoError(a.t, a.SetRemoteConfigStatus(&protobufs.RemoteConfigStatus{LastRemoteConfigHash: hash, Status: status, ErrorMessage: message}))
}

// silent is a fleet that offers and records nothing.
type silent struct {
	recorder
	asked atomic.Int64 // sightings that were not the beginning and say something
}

func (f *silent) Seen(_ context.Context, s fleet.Sighting) (fleet.Offer, error) {
	if !s.Partial && s.Status != remoteconf.StatusUnset {
		f.asked.Add(1)
	}
	return fleet.Offer{}, nil
}
