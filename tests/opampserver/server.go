// Package opampserver is an OpAMP server for tests, built on the protocol's official
// server package. It serves one agent.
package opampserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/open-telemetry/opamp-go/server"
	"github.com/open-telemetry/opamp-go/server/types"
)

// Server offers a configuration and stores what the agent reports.
type Server struct {
	// Addr is the address it listens on; the path is /v1/opamp.
	Addr string

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when the agent has reported something
	offer   *protobufs.AgentRemoteConfig
	conns   map[types.Connection]bool
	state   State
	uid     []byte
}

// State has the agent's last report of each kind.
type State struct {
	Description  *protobufs.AgentDescription
	Capabilities uint64
	Health       *protobufs.ComponentHealth
	Effective    map[string]*protobufs.AgentConfigFile
	Status       *protobufs.RemoteConfigStatus
	Components   *protobufs.AvailableComponents
	Disconnected bool
	Messages     int
}

// Start listens on an address until the test ends.
func Start(t testing.TB, addr string) *Server {
	t.Helper()
	s := &Server{Addr: addr, changed: make(chan struct{}), conns: make(map[types.Connection]bool)}
	opamp := server.New(nil)
	if err := opamp.Start(server.StartSettings{ListenEndpoint: addr, Settings: server.Settings{Callbacks: types.Callbacks{
		OnConnecting: func(*http.Request) types.ConnectionResponse {
			return types.ConnectionResponse{Accept: true, ConnectionCallbacks: types.ConnectionCallbacks{
				OnMessage:         s.heard,
				OnConnectionClose: s.closed,
			}}
		},
	}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = opamp.Stop(ctx)
	})
	return s
}

func (s *Server) heard(_ context.Context, conn types.Connection, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[conn] = true
	s.uid = m.InstanceUid
	s.state.Messages++
	s.state.Capabilities = max(s.state.Capabilities, m.Capabilities)
	if m.AgentDescription != nil {
		s.state.Description = m.AgentDescription
	}
	if m.Health != nil {
		s.state.Health = m.Health
	}
	if m.EffectiveConfig != nil {
		s.state.Effective = m.EffectiveConfig.GetConfigMap().GetConfigMap()
	}
	if m.RemoteConfigStatus != nil {
		s.state.Status = m.RemoteConfigStatus
	}
	if m.AvailableComponents != nil {
		s.state.Components = m.AvailableComponents
	}
	s.state.Disconnected = m.AgentDisconnect != nil
	close(s.changed)
	s.changed = make(chan struct{})
	answer := &protobufs.ServerToAgent{InstanceUid: m.InstanceUid}
	if s.offer != nil && string(s.state.Status.GetLastRemoteConfigHash()) != string(s.offer.ConfigHash) {
		answer.RemoteConfig = s.offer
	}
	if c := s.state.Components; c != nil && len(c.Components) == 0 {
		answer.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents)
	}
	return answer
}

func (s *Server) closed(conn types.Connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// Offer sends the agent a configuration, a map from pipeline names to their text, and
// returns its hash.
func (s *Server) Offer(configs map[string]string) string {
	files, h := make(map[string]*protobufs.AgentConfigFile), sha256.New()
	for name, body := range configs {
		files[name] = &protobufs.AgentConfigFile{Body: []byte(body), ContentType: "text/yaml"}
		_, _ = fmt.Fprintf(h, "%q%q", name, body) // the order does not matter: one hash for one call
	}
	offer := &protobufs.AgentRemoteConfig{Config: &protobufs.AgentConfigMap{ConfigMap: files}, ConfigHash: h.Sum(nil)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offer = offer
	for conn := range s.conns {
		_ = conn.Send(context.Background(), &protobufs.ServerToAgent{InstanceUid: s.uid, RemoteConfig: offer})
	}
	return hex.EncodeToString(offer.ConfigHash)
}

// State returns the agent's last reports.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Wait waits until ok returns true for the agent's reports, and returns them. It fails
// the test after timeout.
func (s *Server) Wait(t testing.TB, timeout time.Duration, ok func(State) bool) State {
	t.Helper()
	deadline := time.After(timeout)
	for {
		s.mu.Lock()
		state, changed := s.state, s.changed
		s.mu.Unlock()
		if ok(state) {
			return state
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("the agent did not report the expected state; status: %v; health: %v", state.Status, state.Health)
		}
	}
}

// Answer waits until the agent reports APPLIED or FAILED for the configuration with a
// hash.
func (s *Server) Answer(t testing.TB, hash string) *protobufs.RemoteConfigStatus {
	t.Helper()
	return s.Wait(t, time.Minute, func(state State) bool {
		return hex.EncodeToString(state.Status.GetLastRemoteConfigHash()) == hash &&
			state.Status.GetStatus() != protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLYING
	}).Status
}
