package opampserver

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
	"github.com/invar-otel/invar/internal/remoteconf"
)

var (
	setA = remoteconf.Set{"a": []byte("receivers: {nop: }\n")}
	setB = remoteconf.Set{"a": []byte("receivers: {nop: }\n"), "b": []byte("exporters: {nop: }\n")}
)

func TestAgents(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			r := run(t, nil)
			r.offer("", setA)
			uid := uuid.Must(uuid.NewV7())
			a := r.agent(scheme, uid, everything)

			c := a.next()
			require.Equal(t, setA.Hash(), hashText(c.ConfigHash))
			require.Equal(t, string(setA["a"]), string(c.Config.ConfigMap["a"].Body))
			s := r.seen()[0]
			require.Equal(t, uid.String(), s.ID)
			require.Equal(t, "opamp", s.Transport)
			require.Equal(t, "here", s.Name)
			require.Equal(t, "1.2.3", s.Version)
			require.Contains(t, s.Address, "127.0.0.1:")
			require.Equal(t, "prod", s.Attributes["env"])
			require.Equal(t, "linux", s.Attributes["collector.os"])
			require.Equal(t, "x: 1", string(s.Effective["effective"]))
			require.False(t, s.Partial)
			r.await(func(s fleet.Sighting) bool { return len(s.Components) == 1 && s.Components[0] == "receiver/otlp" })

			a.report(c.ConfigHash, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLYING, "")
			r.await(func(s fleet.Sighting) bool { return s.Status == remoteconf.StatusApplying && s.Hash == setA.Hash() })
			a.report(c.ConfigHash, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED, "")
			r.await(func(s fleet.Sighting) bool { return s.Status == remoteconf.StatusApplied && s.Hash == setA.Hash() })
			for len(a.configs) > 0 {
				require.Equal(t, c.ConfigHash, (<-a.configs).ConfigHash)
			}

			r.offer("", setB)
			c = a.next()
			require.Equal(t, setB.Hash(), hashText(c.ConfigHash))
			require.Len(t, c.Config.ConfigMap, 2)
			a.report(c.ConfigHash, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED, "b: no")
			r.await(func(s fleet.Sighting) bool { return s.Status == remoteconf.StatusFailed && s.Error == "b: no" })
			for len(a.configs) > 0 {
				<-a.configs
			}

			r.offer("", remoteconf.Set{})
			for c = a.next(); len(c.Config.ConfigMap) > 0; c = a.next() { // answers on their way
			}
			require.NotEmpty(t, c.ConfigHash)
			a.report(c.ConfigHash, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED, "")
			r.await(func(s fleet.Sighting) bool { return s.Status == remoteconf.StatusApplied && s.Hash == "" })

			require.NoError(t, a.SetHealth(&protobufs.ComponentHealth{ComponentHealthMap: map[string]*protobufs.ComponentHealth{
				"b": {LastError: "down"}, "a": {Healthy: true},
			}}))
			r.await(func(s fleet.Sighting) bool { return s.Healthy != nil && !*s.Healthy && s.HealthText == "b: down" })
			require.Empty(t, a.errors)
		})
	}
}

func TestEveryAgentGetsItsOwn(t *testing.T) {
	r := run(t, nil)
	one, two := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	a, b := r.agent("ws", one, everything), r.agent("ws", two, everything)
	r.await(func(s fleet.Sighting) bool { return s.ID == one.String() })
	r.await(func(s fleet.Sighting) bool { return s.ID == two.String() })
	r.offer(one.String(), setA)
	require.Equal(t, setA.Hash(), hashText(a.next().ConfigHash))
	r.offer(two.String(), setB)
	require.Equal(t, setB.Hash(), hashText(b.next().ConfigHash))
	require.Empty(t, a.configs, "nothing changed for it")
}

func TestLeave(t *testing.T) {
	r := run(t, nil)
	uid := uuid.Must(uuid.NewV7())
	a := r.agent("ws", uid, everything)
	r.await(func(fleet.Sighting) bool { return true })
	a.stop()
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.gone) == 1 && r.gone[0] == uid.String()
	}, testTimeout, time.Millisecond)
}

func TestAgentsThatTakeNoConfiguration(t *testing.T) {
	r := run(t, nil)
	r.offer("", setA)
	can := everything &^ protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig
	a := r.agent("http", uuid.Must(uuid.NewV7()), can)
	require.Eventually(t, func() bool { return len(r.seen()) > 3 }, testTimeout, time.Millisecond)
	require.Empty(t, a.configs)
}

func TestAgentThatDoesNotReport(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			r := run(t, nil)
			r.offer("", setA)
			can := everything &^ protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig
			a := r.agent(scheme, uuid.Must(uuid.NewV7()), can)
			require.Equal(t, setA.Hash(), hashText(a.next().ConfigHash))
			r.offer("", setB)
			require.Equal(t, setB.Hash(), hashText(a.next().ConfigHash))
			require.Empty(t, a.configs, "each is sent once")
		})
	}
}

// The agents below speak the protocol without opamp-go's client.

// exchange posts a message.
func (r *testServer) exchange(m *protobufs.AgentToServer) *protobufs.ServerToAgent {
	body, err := proto.Marshal(m)
	require.NoError(r.t, err)
	status, answer := r.post(body, "")
	require.Equal(r.t, http.StatusOK, status)
	var out protobufs.ServerToAgent
	require.NoError(r.t, proto.Unmarshal(answer, &out))
	require.Equal(r.t, m.InstanceUid, out.InstanceUid)
	return &out
}

func (r *testServer) post(body []byte, encoding string) (int, []byte) {
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.url("http"), bytes.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Content-Type", "application/x-protobuf")
	if encoding != "" {
		req.Header.Set("Content-Encoding", encoding)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	require.NoError(r.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return resp.StatusCode, answer
}

// socket is an agent's WebSocket.
type socket struct {
	t *testing.T
	*websocket.Conn
}

func (r *testServer) socket() *socket {
	conn, resp, err := new(websocket.Dialer).DialContext(r.t.Context(), r.url("ws"), nil)
	require.NoError(r.t, err)
	require.NoError(r.t, resp.Body.Close())
	r.t.Cleanup(func() { _ = conn.Close() })
	return &socket{r.t, conn}
}

func (s *socket) send(m *protobufs.AgentToServer) {
	body, err := proto.MarshalOptions{}.MarshalAppend([]byte{0}, m)
	require.NoError(s.t, err)
	require.NoError(s.t, s.WriteMessage(websocket.BinaryMessage, body))
}

func (s *socket) receive() *protobufs.ServerToAgent {
	require.NoError(s.t, s.SetReadDeadline(time.Now().Add(testTimeout)))
	_, body, err := s.ReadMessage()
	require.NoError(s.t, err)
	require.Zero(s.t, body[0])
	var m protobufs.ServerToAgent
	require.NoError(s.t, proto.Unmarshal(body[1:], &m))
	return &m
}

// full returns a message with the full state.
func full(uid uuid.UUID, sequence uint64) *protobufs.AgentToServer {
	return &protobufs.AgentToServer{
		InstanceUid: uid[:], SequenceNum: sequence, Capabilities: uint64(everything),
		AgentDescription:   &protobufs.AgentDescription{},
		RemoteConfigStatus: &protobufs.RemoteConfigStatus{},
	}
}

func heartbeat(uid uuid.UUID, sequence uint64) *protobufs.AgentToServer {
	return &protobufs.AgentToServer{InstanceUid: uid[:], SequenceNum: sequence, Capabilities: uint64(everything)}
}

func TestFullStateIsAskedFor(t *testing.T) {
	r := run(t, nil)
	uid := uuid.Must(uuid.NewV7())
	asks := func(m *protobufs.AgentToServer, want bool) {
		t.Helper()
		out := r.exchange(m)
		require.Equal(t, want, out.Flags&uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState) != 0)
		require.NotZero(t, out.Capabilities&uint64(protobufs.ServerCapabilities_ServerCapabilities_OffersRemoteConfig))
	}
	asks(heartbeat(uid, 7), true) // the server restarted
	require.Empty(t, r.seen(), "who it is is not known")
	asks(full(uid, 8), false)
	asks(heartbeat(uid, 9), false)
	asks(heartbeat(uid, 11), true) // one was lost
	asks(full(uid, 12), false)
	asks(full(uid, 0), false) // the agent restarted
	require.Len(t, r.seen(), 4)
	require.True(t, r.seen()[1].Partial)
}

// An offer that an agent did not receive is sent again with every poll.
func TestLostAnswer(t *testing.T) {
	r := run(t, nil)
	r.offer("", setA)
	uid := uuid.Must(uuid.NewV7())
	require.NotNil(t, r.exchange(full(uid, 0)).RemoteConfig)
	require.NotNil(t, r.exchange(heartbeat(uid, 1)).RemoteConfig)
	m := heartbeat(uid, 2)
	m.RemoteConfigStatus = &protobufs.RemoteConfigStatus{LastRemoteConfigHash: hashBytes(setA.Hash())}
	require.Nil(t, r.exchange(m).RemoteConfig)
	require.Nil(t, r.exchange(heartbeat(uid, 3)).RemoteConfig)
}

func TestIDOfRemoteConfig(t *testing.T) {
	r := run(t, nil)
	m := full(uuid.Must(uuid.NewV7()), 0)
	m.AgentDescription.NonIdentifyingAttributes = []*protobufs.KeyValue{
		{Key: "collector.id", Value: &protobufs.AnyValue{Value: &protobufs.AnyValue_StringValue{StringValue: "edge-1"}}},
		{Key: "n", Value: &protobufs.AnyValue{Value: &protobufs.AnyValue_IntValue{IntValue: 5}}},
		{Key: "list", Value: &protobufs.AnyValue{Value: &protobufs.AnyValue_ArrayValue{}}},
	}
	r.exchange(m)
	require.Equal(t, "edge-1", r.seen()[0].ID)
	require.Equal(t, "5", r.seen()[0].Attributes["n"])
}

func TestTwoAgentsWithOneUID(t *testing.T) {
	r := run(t, nil)
	uid := uuid.Must(uuid.NewV7())
	a := r.agent("ws", uid, everything)
	r.await(func(fleet.Sighting) bool { return true })
	for _, scheme := range schemes {
		b := r.agent(scheme, uid, everything)
		var given uuid.UUID
		select {
		case given = <-b.renamed:
		case <-time.After(testTimeout):
			require.Fail(t, "it keeps the uid")
		}
		require.NotEqual(t, uid, given)
		// What it sent under the old uid need not be requested again.
		require.NoError(t, b.SetHealth(&protobufs.ComponentHealth{LastError: scheme}))
		r.await(func(s fleet.Sighting) bool { return s.ID == given.String() })
		r.offer(given.String(), setB)
		require.Equal(t, setB.Hash(), hashText(b.next().ConfigHash))
		b.stop()
	}
	require.Empty(t, a.renamed, "who was there first keeps it")
	r.offer(uid.String(), setA)
	require.Equal(t, setA.Hash(), hashText(a.next().ConfigHash))
}

// An agent keeps its uid if its earlier connection broke unnoticed.
func TestConnectionThatBroke(t *testing.T) {
	r := run(t, func(s *Server) { s.probe = 50 * time.Millisecond })
	uid := uuid.Must(uuid.NewV7())
	old := r.socket()
	old.send(full(uid, 0))
	old.receive() // and never anything again
	again := r.socket()
	again.send(full(uid, 1))
	require.Nil(t, again.receive().AgentIdentification)
	r.offer("", setA)
	require.NotNil(t, again.receive().RemoteConfig)
	require.NotZero(t, old.receive().Flags)
	_, _, err := old.ReadMessage()
	require.Error(t, err)
}

func TestRequestedUID(t *testing.T) {
	r := run(t, nil)
	m := full(uuid.Must(uuid.NewV7()), 0)
	m.Flags = uint64(protobufs.AgentToServerFlags_AgentToServerFlags_RequestInstanceUid)
	require.Len(t, r.exchange(m).AgentIdentification.NewInstanceUid, 16)
	require.Empty(t, r.seen())
}

func TestRefusals(t *testing.T) {
	r := run(t, nil)
	uid := uuid.Must(uuid.NewV7())
	for _, bad := range [][]byte{nil, []byte("short"), make([]byte, 16)} {
		out := r.exchange(&protobufs.AgentToServer{InstanceUid: bad})
		require.Equal(t, protobufs.ServerErrorResponseType_ServerErrorResponseType_BadRequest, out.ErrorResponse.Type)
	}
	f := func(err error, want protobufs.ServerErrorResponseType, words string) {
		t.Helper()
		r.fail(err)
		out := r.exchange(full(uid, 0))
		require.Equal(t, want, out.ErrorResponse.Type)
		require.Contains(t, out.ErrorResponse.ErrorMessage, words)
	}
	f(fleet.ErrInvalid, protobufs.ServerErrorResponseType_ServerErrorResponseType_BadRequest, "not valid")
	f(fleet.ErrFull, protobufs.ServerErrorResponseType_ServerErrorResponseType_Unavailable, "as many collectors as may be")
	f(errors.New("disk: secret path"), protobufs.ServerErrorResponseType_ServerErrorResponseType_Unavailable, "cannot be recorded")
	require.NotContains(t, r.exchange(full(uid, 0)).ErrorResponse.ErrorMessage, "secret")
}

func TestHTTPBounds(t *testing.T) {
	r := run(t, nil)
	zip := func(b []byte) []byte {
		var out bytes.Buffer
		z := gzip.NewWriter(&out)
		_, _ = z.Write(b)
		_ = z.Close()
		return out.Bytes()
	}
	f := func(body []byte, encoding string, want int) {
		t.Helper()
		status, words := r.post(body, encoding)
		require.Equal(t, want, status, string(words))
	}
	large := make([]byte, MaxMessage+1)
	message, err := proto.Marshal(full(uuid.Must(uuid.NewV7()), 0))
	require.NoError(t, err)
	f(message, "", http.StatusOK)
	f(zip(message), "gzip", http.StatusOK)
	f(large, "", http.StatusRequestEntityTooLarge)
	f(zip(large), "gzip", http.StatusRequestEntityTooLarge)
	f(zip(make([]byte, 4*MaxMessage)), "gzip", http.StatusRequestEntityTooLarge)
	f([]byte("garbage"), "", http.StatusBadRequest)
	f([]byte("garbage"), "gzip", http.StatusBadRequest)
	f(message, "br", http.StatusBadRequest)

	get := func(method, contentType string) int {
		req, err := http.NewRequestWithContext(t.Context(), method, r.url("http"), strings.NewReader("x"))
		require.NoError(t, err)
		req.Header.Set("Content-Type", contentType)
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.StatusCode
	}
	require.Equal(t, http.StatusMethodNotAllowed, get(http.MethodGet, contentProtobuf))
	require.Equal(t, http.StatusUnsupportedMediaType, get(http.MethodPost, "text/plain"))
	require.Equal(t, http.StatusBadRequest, get(http.MethodPost, "application/x-protobuf; charset=utf-8"))
}

func TestWebSocketBounds(t *testing.T) {
	r := run(t, nil)
	uid := uuid.Must(uuid.NewV7())
	ends := func(s *socket) {
		t.Helper()
		require.NoError(t, s.SetReadDeadline(time.Now().Add(testTimeout)))
		for {
			if _, _, err := s.ReadMessage(); err != nil {
				require.NotContains(t, err.Error(), "timeout")
				return
			}
		}
	}
	largest := full(uid, 0)
	largest.EffectiveConfig = &protobufs.EffectiveConfig{ConfigMap: &protobufs.AgentConfigMap{ConfigMap: map[string]*protobufs.AgentConfigFile{
		"a": {Body: make([]byte, MaxMessage-1024)},
	}}}
	s := r.socket()
	for i := range uint64(3) { // each is bounded, not their sum
		largest.SequenceNum = i
		s.send(largest)
		s.receive()
	}
	_ = s.WriteMessage(websocket.BinaryMessage, make([]byte, MaxMessage+2))
	ends(s)

	s = r.socket()
	w, err := s.NextWriter(websocket.BinaryMessage) // in frames
	require.NoError(t, err)
	for range MaxMessage/1000 + 2 {
		if _, err = w.Write(make([]byte, 1000)); err != nil {
			break
		}
	}
	_ = w.Close()
	ends(s)

	s = r.socket()
	require.NoError(t, s.WriteMessage(websocket.BinaryMessage, []byte{0, 0xff}))
	require.NoError(t, s.WriteMessage(websocket.TextMessage, []byte("hello")))
	s.send(full(uid, 0))
	require.NotZero(t, s.receive().Capabilities, "garbage is skipped")
}

func TestConnectionLimit(t *testing.T) {
	r := run(t, func(s *Server) { s.limit = 1 })
	uid := uuid.Must(uuid.NewV7())
	first := r.socket()
	first.send(full(uid, 0))
	first.receive()
	_, resp, err := new(websocket.Dialer).DialContext(t.Context(), r.url("ws"), nil)
	require.Error(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "30", resp.Header.Get("Retry-After"))
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool {
		conn, resp, err := new(websocket.Dialer).DialContext(t.Context(), r.url("ws"), nil)
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return conn.Close() == nil
	}, testTimeout, 10*time.Millisecond)
}

func TestAgentsOnOneConnection(t *testing.T) {
	r := run(t, nil)
	s := r.socket()
	one, two := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	for _, uid := range []uuid.UUID{one, two} {
		s.send(full(uid, 0))
		require.Equal(t, uid[:], s.receive().InstanceUid)
	}
	r.offer(two.String(), setA)
	m := s.receive()
	require.Equal(t, two[:], m.InstanceUid)
	require.NotNil(t, m.RemoteConfig)
}

func TestUpgradeThatFails(t *testing.T) {
	r := run(t, func(s *Server) { s.limit = 1 })
	for range 3 { // none takes the place for good
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url("http"), nil)
		require.NoError(t, err)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "websocket")
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	}
}

func TestRunEndsAtOnce(t *testing.T) {
	r := run(t, nil)
	s := r.socket()
	s.send(full(uuid.Must(uuid.NewV7()), 0))
	s.receive()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.server.Run(ctx) // a second time, with the connection open
	_, _, err := s.ReadMessage()
	require.Error(t, err)
	_, resp, err := new(websocket.Dialer).DialContext(t.Context(), r.url("ws"), nil)
	require.Error(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
}
