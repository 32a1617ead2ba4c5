package opamptransport

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
	"github.com/invar-otel/invar/internal/remoteconf"
)

func TestConfigurationIsOfferedAndReported(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.answers(func(*protobufs.AgentToServer) *protobufs.ServerToAgent {
				return &protobufs.ServerToAgent{RemoteConfig: remoteConfig("\x01", "orders", metricsPipeline)}
			})
			tr := newTransport(t, s.endpoint(scheme), nil)
			offers := start(t, tr, nil)

			o := next(t, offers)
			require.NoError(t, o.Err)
			require.Equal(t, "01", o.Hash)
			require.Equal(t, remoteconf.Set{"orders": []byte(metricsPipeline)}, o.Set)
			first := s.received()[0]
			require.Zero(t, first.SequenceNum)
			require.Equal(t, instanceUID("", "edge-1"), uuid.UUID(first.InstanceUid))
			require.NotEmpty(t, first.AgentDescription.IdentifyingAttributes)
			require.Equal(t, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_UNSET, first.RemoteConfigStatus.Status)
			const wanted = protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus | protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
				protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig | protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig |
				protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth | protobufs.AgentCapabilities_AgentCapabilities_ReportsHeartbeat |
				protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents
			require.Equal(t, wanted, protobufs.AgentCapabilities(first.Capabilities))

			tr.Report(transport.Report{Hash: o.Hash, Status: remoteconf.StatusApplying})
			m := s.await(func(m *protobufs.AgentToServer) bool {
				return m.RemoteConfigStatus.GetStatus() == protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLYING
			})
			require.Equal(t, []byte{1}, m.RemoteConfigStatus.LastRemoteConfigHash)
			tr.Report(transport.Report{
				Hash: o.Hash, Status: remoteconf.StatusApplied, Effective: map[string][]byte{"orders": []byte("x: 1")},
				Health: transport.Health{Healthy: true, Parts: map[string]transport.Health{"orders": {Healthy: true}}},
			})
			m = s.await(func(m *protobufs.AgentToServer) bool {
				return m.RemoteConfigStatus.GetStatus() == protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED
			})
			require.Equal(t, "x: 1", string(m.EffectiveConfig.ConfigMap.ConfigMap["orders"].Body))
			require.True(t, m.Health.ComponentHealthMap["orders"].Healthy)
			tr.Report(transport.Report{Hash: o.Hash, Status: remoteconf.StatusFailed, Error: "pipelines::orders: no"})
			m = s.await(func(m *protobufs.AgentToServer) bool {
				return m.RemoteConfigStatus.GetStatus() == protobufs.RemoteConfigStatuses_RemoteConfigStatuses_FAILED
			})
			require.Equal(t, "pipelines::orders: no", m.RemoteConfigStatus.ErrorMessage)

			// A configuration that is known is not offered again, another one is.
			s.answers(func(*protobufs.AgentToServer) *protobufs.ServerToAgent {
				return &protobufs.ServerToAgent{RemoteConfig: remoteConfig("\x02", "orders", "- no map")}
			})
			o = next(t, offers)
			require.Equal(t, "02", o.Hash)
			require.ErrorContains(t, o.Err, "pipelines::orders")
			s.answers(func(*protobufs.AgentToServer) *protobufs.ServerToAgent {
				return &protobufs.ServerToAgent{RemoteConfig: remoteConfig("\x03")}
			})
			o = next(t, offers)
			require.NotNil(t, o.Set)
			require.Empty(t, o.Set)
		})
	}
}

func TestStatusOfTheStartIsTold(t *testing.T) {
	s := newServer(t)
	tr := newTransport(t, s.endpoint("ws"), nil)
	tr.Report(transport.Report{Hash: "0a", Status: remoteconf.StatusApplied})
	start(t, tr, nil)
	m := s.await(func(*protobufs.AgentToServer) bool { return true })
	require.Equal(t, []byte{10}, m.RemoteConfigStatus.LastRemoteConfigHash)
	require.Equal(t, protobufs.RemoteConfigStatuses_RemoteConfigStatuses_APPLIED, m.RemoteConfigStatus.Status)
}

func TestPushed(t *testing.T) {
	s := newServer(t)
	tr := newTransport(t, s.endpoint("ws"), nil)
	tr.set.Config.HeartbeatInterval = 0
	offers := start(t, tr, nil)
	s.await(func(*protobufs.AgentToServer) bool { return true })
	s.push(&protobufs.ServerToAgent{InstanceUid: make([]byte, 16), RemoteConfig: remoteConfig("a", "of_another", metricsPipeline)})
	s.push(&protobufs.ServerToAgent{RemoteConfig: remoteConfig("b", "mine", metricsPipeline)})
	require.Equal(t, []string{"mine"}, next(t, offers).Set.Names())
}

func TestHeartbeats(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			start(t, newTransport(t, s.endpoint(scheme), nil), nil)
			m := s.await(func(m *protobufs.AgentToServer) bool { return m.SequenceNum == 3 })
			require.Len(t, m.InstanceUid, 16)
			require.Nil(t, m.AgentDescription)
			for i, m := range s.received() {
				require.Equal(t, uint64(i), m.SequenceNum)
			}
		})
	}
}

func TestServerSetsTheInterval(t *testing.T) {
	tr := newTransport(t, "endpoint: ws://localhost:1", nil)
	f := func(seconds uint64, want time.Duration) {
		t.Helper()
		require.NoError(t, tr.handle(tr.servers[0], &protobufs.ServerToAgent{ConnectionSettings: &protobufs.ConnectionSettingsOffers{
			Opamp: &protobufs.OpAMPConnectionSettings{HeartbeatIntervalSeconds: seconds},
		}}))
		require.Equal(t, want, tr.heartbeat())
	}
	f(0, 30*time.Millisecond)
	f(7, 7*time.Second)
	f(0, 7*time.Second)
	f(1<<63, maxInterval)
}

func TestRestart(t *testing.T) {
	restart := &protobufs.ServerToAgent{Command: &protobufs.ServerToAgentCommand{Type: protobufs.CommandType_CommandType_Restart}}
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.answers(func(m *protobufs.AgentToServer) *protobufs.ServerToAgent {
				if m.SequenceNum != 0 {
					return &protobufs.ServerToAgent{}
				}
				return restart
			})
			restarted := make(chan bool, 10)
			tr := newTransport(t, s.endpoint(scheme), func(s *Settings) {
				s.Config.AcceptRestartCommand, s.Restart = true, func() { restarted <- true }
			})
			start(t, tr, nil)
			select {
			case <-restarted:
			case <-time.After(patience):
				require.Fail(t, "no restart")
			}
			require.NotZero(t, s.received()[0].Capabilities&uint64(protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand))
		})
	}
}

func TestRestartIsRefused(t *testing.T) {
	restart := &protobufs.ServerToAgent{Command: &protobufs.ServerToAgentCommand{Type: protobufs.CommandType_CommandType_Restart}}
	f := func(accept bool, perform func()) {
		t.Helper()
		core, logs := observer.New(zap.InfoLevel)
		tr := newTransport(t, "endpoint: ws://localhost:1", func(s *Settings) {
			s.Config.AcceptRestartCommand, s.Restart, s.Telemetry.Logger = accept, perform, zap.New(core)
		})
		require.Zero(t, tr.agent.message().Capabilities&uint64(protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand))
		require.NoError(t, tr.handle(tr.servers[0], restart))
		require.NoError(t, tr.handle(tr.servers[0], restart))
		require.Equal(t, 1, logs.FilterMessageSnippet("opamp::accept_restart_command").Len(), "told once")
	}
	f(false, func() { t.Error("restarted") })
	f(true, nil) // nothing here can restart it
}

func TestNewInstanceUID(t *testing.T) {
	given := uuid.Must(uuid.NewV7())
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.answers(func(m *protobufs.AgentToServer) *protobufs.ServerToAgent {
				if uuid.UUID(m.InstanceUid) == given {
					return &protobufs.ServerToAgent{RemoteConfig: remoteConfig("h", "a", metricsPipeline)}
				}
				return &protobufs.ServerToAgent{AgentIdentification: &protobufs.AgentIdentification{NewInstanceUid: given[:]}}
			})
			told := make(chan string, 10)
			tr := newTransport(t, s.endpoint(scheme), func(s *Settings) { s.NewInstanceUID = func(uid string) { told <- uid } })
			offers := start(t, tr, nil)
			next(t, offers)
			require.Equal(t, given.String(), <-told)
			require.Empty(t, told)
		})
	}
	tr := newTransport(t, "endpoint: ws://localhost:1", func(s *Settings) { s.NewInstanceUID = func(uid string) { t.Error(uid) } })
	require.NoError(t, tr.handle(tr.servers[0], &protobufs.ServerToAgent{AgentIdentification: &protobufs.AgentIdentification{NewInstanceUid: []byte{1}}}))
	require.NoError(t, tr.handle(tr.servers[0], &protobufs.ServerToAgent{AgentIdentification: &protobufs.AgentIdentification{NewInstanceUid: make([]byte, 16)}}))
}

func TestComponentsAreListedWhenAskedFor(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.answers(func(m *protobufs.AgentToServer) *protobufs.ServerToAgent {
				if m.SequenceNum > 0 {
					return &protobufs.ServerToAgent{}
				}
				return &protobufs.ServerToAgent{Flags: uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents)}
			})
			start(t, newTransport(t, s.endpoint(scheme), nil), nil)
			m := s.await(func(m *protobufs.AgentToServer) bool { return len(m.AvailableComponents.GetComponents()) > 0 })
			require.Contains(t, m.AvailableComponents.Components["receivers"].SubComponentMap, "nop")
			require.Equal(t, s.received()[0].AvailableComponents.Hash, m.AvailableComponents.Hash)
			require.Nil(t, m.AgentDescription)
		})
	}
}

// A server that asks for everything with every message gets it, but not without a pause.
func TestServerThatAsksOnAndOn(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.answers(func(*protobufs.AgentToServer) *protobufs.ServerToAgent {
				return &protobufs.ServerToAgent{Flags: uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)}
			})
			tr := newTransport(t, s.endpoint(scheme), nil)
			tr.set.Config.HeartbeatInterval, tr.set.Config.PollInterval = time.Hour, time.Hour
			began := time.Now()
			start(t, tr, nil)
			m := s.await(func(m *protobufs.AgentToServer) bool { return m.SequenceNum == 4 })
			require.NotNil(t, m.AgentDescription)
			require.GreaterOrEqual(t, time.Since(began), 4*minGap)
		})
	}
}

func TestServerGoneAndBack(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			address := s.Listener.Addr().String()
			var asked outcomes
			tr := newTransport(t, s.endpoint(scheme), func(s *Settings) { s.Asked = asked.add })
			offers := start(t, tr, nil)
			asked.await(t, "")
			s.stop()
			asked.await(t, "refused")
			tr.Report(transport.Report{Hash: "0b", Status: remoteconf.StatusApplied})

			l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
			require.NoError(t, err)
			again := startServer(t, l, false)
			again.answers(func(*protobufs.AgentToServer) *protobufs.ServerToAgent {
				return &protobufs.ServerToAgent{RemoteConfig: remoteConfig("h", "a", metricsPipeline)}
			})
			next(t, offers)
			first := again.received()[0]
			require.NotNil(t, first.AgentDescription, "the new server knows nothing")
			require.Equal(t, []byte{11}, first.RemoteConfigStatus.LastRemoteConfigHash)
		})
	}
}

func TestServerAwayAtStart(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			var asked outcomes
			tr := newTransport(t, "endpoint: "+scheme+"://127.0.0.1:1", func(s *Settings) { s.Asked = asked.add })
			offers := start(t, tr, nil)
			asked.await(t, "ask "+scheme+"://127.0.0.1:1/v1/opamp: ")
			require.Empty(t, offers)
		})
	}
}

func TestSeveralServers(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			s.answers(func(*protobufs.AgentToServer) *protobufs.ServerToAgent {
				return &protobufs.ServerToAgent{RemoteConfig: remoteConfig("h", "a", metricsPipeline)}
			})
			began := time.Now()
			offers := start(t, newTransport(t, "endpoints: [ws://127.0.0.1:1, http://127.0.0.1:1]\n"+s.endpoint(scheme), func(s *Settings) {
				s.Config.Endpoint, s.Config.Endpoints = "", append(s.Config.Endpoints, s.Config.Endpoint)
			}), nil)
			next(t, offers)
			require.Less(t, time.Since(began), retryFirst/2, "the next is tried at once")
		})
	}
}

func TestShutdownTakesLeave(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			s := newServer(t)
			tr := newTransport(t, s.endpoint(scheme), nil)
			start(t, tr, nil)
			s.await(func(m *protobufs.AgentToServer) bool { return m.SequenceNum > 0 })
			require.NoError(t, tr.Shutdown(context.Background()))
			list := s.received()
			for i, m := range list {
				require.Equal(t, i == len(list)-1, m.AgentDisconnect != nil)
			}
		})
	}
}

func TestShutdownWithoutStart(t *testing.T) {
	require.NoError(t, newTransport(t, "endpoint: ws://localhost:1", nil).Shutdown(t.Context()))
}

// A server that accepts connections and stays silent does not delay a shutdown.
func TestShutdownOfASilentServer(t *testing.T) {
	for _, scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			entered, leave := make(chan bool, 10), make(chan bool)
			s := newServer(t)
			s.before = func(_ http.ResponseWriter, r *http.Request) bool {
				entered <- true
				select {
				case <-leave:
				case <-r.Context().Done():
				}
				return true
			}
			t.Cleanup(func() { close(leave) })
			tr := newTransport(t, s.endpoint(scheme), nil)
			start(t, tr, nil)
			<-entered
			require.NoError(t, tr.Shutdown(context.Background()))
		})
	}
	t.Run("after messages", func(t *testing.T) {
		hold := make(chan bool)
		s := newServer(t)
		s.answers(func(m *protobufs.AgentToServer) *protobufs.ServerToAgent {
			if m.AgentDisconnect != nil {
				<-hold
			}
			return nil
		})
		tr := newTransport(t, s.endpoint("http"), nil)
		start(t, tr, nil)
		s.await(func(*protobufs.AgentToServer) bool { return true })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := tr.Shutdown(ctx)
		require.True(t, err == nil || errors.Is(err, context.DeadlineExceeded), err)
		close(hold)
	})
}

func TestStart(t *testing.T) {
	tr := newTransport(t, "endpoint: wss://localhost:1\ntls: {ca_file: /does/not/exist}", nil)
	err := tr.Start(t.Context(), componenttest.NewNopHost(), func(transport.Offer) {})
	require.ErrorContains(t, err, "/does/not/exist")
	for _, scheme := range schemes {
		tr = newTransport(t, "auth: {authenticator: nobody}\nendpoint: "+scheme+"://localhost:1", nil)
		err = tr.Start(t.Context(), componenttest.NewNopHost(), func(transport.Offer) {})
		require.ErrorContains(t, err, "nobody")
	}
	tr = newTransport(t, "endpoint: ws://localhost:1", nil)
	start(t, tr, nil)
	require.Error(t, tr.Start(t.Context(), componenttest.NewNopHost(), nil))
}
