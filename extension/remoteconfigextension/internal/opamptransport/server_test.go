package opamptransport

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/config/configtest"
)

const patience = 20 * time.Second

// opampServer is opamp-go's server. It answers as the test says and records messages.
type opampServer struct {
	t *testing.T
	*httptest.Server
	// before may answer a request instead.
	before func(w http.ResponseWriter, r *http.Request) (done bool)

	mu       sync.Mutex
	answer   func(m *protobufs.AgentToServer) *protobufs.ServerToAgent
	messages []*protobufs.AgentToServer
	conns    map[types.Connection]bool
	header   http.Header
}

func newServer(t *testing.T) *opampServer { return startServer(t, nil, false) }

// startServer listens on l, or on any port if l is nil.
func startServer(t *testing.T, l net.Listener, tls bool) *opampServer {
	s := &opampServer{t: t, conns: map[types.Connection]bool{}}
	handle, connContext, err := server.New(nil).Attach(server.Settings{Callbacks: types.Callbacks{
		OnConnecting: func(r *http.Request) types.ConnectionResponse {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.header = r.Header.Clone()
			return types.ConnectionResponse{Accept: true, ConnectionCallbacks: types.ConnectionCallbacks{
				OnMessage: s.receive,
				OnConnected: func(_ context.Context, c types.Connection) {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.conns[c] = true
				},
				OnConnectionClose: func(c types.Connection) {
					s.mu.Lock()
					defer s.mu.Unlock()
					delete(s.conns, c)
				},
			}}
		},
	}})
	require.NoError(t, err)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.before == nil || !s.before(w, r) {
			handle(w, r)
		}
	}))
	s.Config.ConnContext = connContext
	if l != nil {
		require.NoError(t, s.Listener.Close())
		s.Listener = l
	}
	if tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.stop)
	return s
}

// stop also closes the WebSockets, unlike Close.
func (s *opampServer) stop() {
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Disconnect()
	}
	s.mu.Unlock()
	s.Close()
	require.Eventually(s.t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 0
	}, patience, time.Millisecond)
}

func (s *opampServer) receive(_ context.Context, _ types.Connection, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, m)
	if s.answer == nil {
		return &protobufs.ServerToAgent{}
	}
	return s.answer(m)
}

func (s *opampServer) answers(f func(m *protobufs.AgentToServer) *protobufs.ServerToAgent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// push sends to the agents with a WebSocket.
func (s *opampServer) push(m *protobufs.ServerToAgent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		require.NoError(s.t, c.Send(s.t.Context(), m))
	}
}

func (s *opampServer) received() []*protobufs.AgentToServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*protobufs.AgentToServer(nil), s.messages...)
}

// await waits until one of the recorded messages is wanted.
func (s *opampServer) await(wanted func(m *protobufs.AgentToServer) bool) *protobufs.AgentToServer {
	s.t.Helper()
	var found *protobufs.AgentToServer
	require.Eventually(s.t, func() bool {
		for _, m := range s.received() {
			if wanted(m) {
				found = m
				return true
			}
		}
		return false
	}, patience, time.Millisecond)
	return found
}

// webSocket and polling are the schemes that tests run with.
var schemes = []string{"ws", "http"}

// endpoint returns the server's URL with another scheme.
func (s *opampServer) endpoint(scheme string) string {
	_, rest, _ := strings.Cut(s.URL, "://")
	return "endpoint: " + scheme + "://" + rest
}

// newTransport returns a Transport with short intervals.
func newTransport(t testing.TB, config string, change func(*Settings)) *Transport {
	t.Helper()
	cfg := NewDefaultConfig()
	require.NoError(t, configtest.Parse(t, config, &cfg))
	cfg.PollInterval = 30 * time.Millisecond // shorter than a user may
	cfg.HeartbeatInterval = 30 * time.Millisecond
	set := Settings{
		Config: &cfg, Telemetry: componenttest.NewNopTelemetrySettings(),
		Identity: transport.Identity{
			ID: "edge-1", BuildInfo: component.BuildInfo{Command: "invar", Version: "1"},
			Components: []transport.Component{{Kind: component.KindReceiver, Type: component.MustNewType("nop"), Module: "example.org/nop v1"}},
		},
	}
	if change != nil {
		change(&set)
	}
	tr, err := New(set)
	require.NoError(t, err)
	return tr
}

// host is a host with extensions.
type host struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

// start starts the Transport and returns its offers.
func start(t *testing.T, tr *Transport, extensions map[component.ID]component.Component) <-chan transport.Offer {
	t.Helper()
	offers := make(chan transport.Offer, 100)
	require.NoError(t, tr.Start(t.Context(), host{componenttest.NewNopHost(), extensions}, func(o transport.Offer) { offers <- o }))
	t.Cleanup(func() { require.NoError(t, tr.Shutdown(context.Background())) })
	return offers
}

func next(t *testing.T, offers <-chan transport.Offer) transport.Offer {
	t.Helper()
	select {
	case o := <-offers:
		return o
	case <-time.After(patience):
		require.Fail(t, "nothing is offered")
		return transport.Offer{}
	}
}

// outcomes records the calls of Asked.
type outcomes struct {
	mu   sync.Mutex
	errs []error
}

func (o *outcomes) add(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs = append(o.errs, err)
}

// await waits for an outcome with this text, "" for success.
func (o *outcomes) await(t *testing.T, words string) {
	t.Helper()
	require.Eventually(t, func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, err := range o.errs {
			if words == "" && err == nil || words != "" && err != nil && strings.Contains(err.Error(), words) {
				return true
			}
		}
		return false
	}, patience, time.Millisecond, "%s: %v", words, o)
}

func (o *outcomes) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for _, err := range o.errs {
		if err != nil {
			b.WriteString(err.Error() + "\n")
		}
	}
	return b.String()
}
