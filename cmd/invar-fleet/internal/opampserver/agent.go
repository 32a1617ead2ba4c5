package opampserver

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	servertypes "github.com/open-telemetry/opamp-go/server/types"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/fleet"
)

// capabilities are the capabilities of this server.
const capabilities = uint64(protobufs.ServerCapabilities_ServerCapabilities_AcceptsStatus |
	protobufs.ServerCapabilities_ServerCapabilities_OffersRemoteConfig |
	protobufs.ServerCapabilities_ServerCapabilities_AcceptsEffectiveConfig)

// agent is what the server remembers of an agent between its messages.
type agent struct {
	uid uuid.UUID

	// exchange is held while a message is answered or an offer sent: offers are sent
	// in the order in which they were decided. It guards the fields up to mu.
	exchange     sync.Mutex
	id           string // in the fleet; "" until the agent described itself
	sequence     uint64
	capabilities uint64
	reported     bool              // whether the agent reported hash
	hash         string            // of what it received last
	sent         bool              // whether offered was sent over this WebSocket
	offered      string            // the hash of the latest offer
	components   [sha256.Size]byte // of the hash of its list of components, which has any length

	mu    sync.Mutex
	owner *connection   // the WebSocket that the agent uses
	heard chan struct{} // closed with the next message from a probed owner
}

// uses reports whether the agent uses this WebSocket. A broken one may still be open
// when its agent has connected again.
func (a *agent) uses(c *connection) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.owner == c
}

// release ends the use of a WebSocket by the agent.
func (a *agent) release(c *connection) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.owner == c {
		a.owner = nil
	}
}

// receive returns the library's callback for the messages of a connection. Answers over
// a WebSocket are sent here and not by the library, in order with pushed offers.
func (s *Server) receive(c *connection) func(context.Context, servertypes.Connection, *protobufs.AgentToServer) *protobufs.ServerToAgent {
	return func(ctx context.Context, _ servertypes.Connection, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
		uid, err := uuid.FromBytes(m.InstanceUid)
		if err != nil || uid == uuid.Nil {
			return refusal("instance_uid: has to be 16 bytes that are not all 0")
		}
		if given, ok := c.renamed(uid); ok {
			return identification(given)
		}
		if m.Flags&uint64(protobufs.AgentToServerFlags_AgentToServerFlags_RequestInstanceUid) != 0 {
			return s.rename(c, uid)
		}
		a, known := s.agents.Get(uid)
		if !known {
			a = &agent{uid: uid}
			if earlier, raced, _ := s.agents.PeekOrAdd(uid, a); raced {
				a = earlier
			}
		}
		if !s.claim(ctx, c, a) {
			s.logger.Warn("Two agents have the same instance uid; the second gets a new one",
				zap.Stringer("instance_uid", uid), zap.String("address", c.address))
			return s.rename(c, uid)
		}
		webSocket := c.webSocket() != nil
		if webSocket && !c.add(a) {
			return refusal("this connection has as many agents as may be")
		}
		a.exchange.Lock()
		defer a.exchange.Unlock()
		answer := s.answer(ctx, c, a, m)
		if answer == nil || !webSocket {
			return answer
		}
		answer.InstanceUid = m.InstanceUid
		c.send(ctx, answer)
		return nil
	}
}

// renamed returns the uid that an agent with this uid was given on this connection.
func (c *connection) renamed(uid uuid.UUID) (uuid.UUID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	given, ok := c.given[uid]
	return given, ok
}

// rename gives an agent a new uid.
func (s *Server) rename(c *connection, old uuid.UUID) *protobufs.ServerToAgent {
	given, err := uuid.NewV7()
	if err != nil {
		return unavailable("no uid can be made: " + err.Error())
	}
	c.mu.Lock()
	if c.given == nil {
		c.given = map[uuid.UUID]uuid.UUID{}
	}
	if len(c.given) < maxPerConnection {
		c.given[old] = given
	}
	c.mu.Unlock()
	return identification(given)
}

// claim makes c the agent's connection and returns true, or returns false if the agent
// uses another WebSocket that is alive. It probes that WebSocket: an agent may connect
// again before the server has noticed that the earlier connection broke.
func (s *Server) claim(ctx context.Context, c *connection, a *agent) bool {
	for {
		a.mu.Lock()
		owner := a.owner
		switch owner {
		case c:
			if a.heard != nil {
				close(a.heard)
				a.heard = nil
			}
			a.mu.Unlock()
			return true
		case nil:
			webSocket := c.webSocket() != nil
			if webSocket {
				a.owner, a.heard = c, nil
			}
			a.mu.Unlock()
			if webSocket {
				a.exchange.Lock()
				a.sent = false
				a.exchange.Unlock()
			}
			return true
		}
		if a.heard == nil {
			a.heard = make(chan struct{})
		}
		heard := a.heard
		a.mu.Unlock()
		owner.send(ctx, &protobufs.ServerToAgent{InstanceUid: a.uid[:], Flags: uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)})
		timeout := time.NewTimer(s.probe)
		select {
		case <-heard:
			timeout.Stop()
			return false
		case <-owner.ended:
			timeout.Stop()
			a.release(owner)
		case <-timeout.C:
			owner.disconnect()
			a.release(owner)
		}
	}
}

// answer records a message and returns the answer, or nil if it needs none. The
// caller holds a.exchange.
func (s *Server) answer(ctx context.Context, c *connection, a *agent, m *protobufs.AgentToServer) *protobufs.ServerToAgent {
	missed := a.id != "" && m.SequenceNum != a.sequence+1
	a.sequence, a.capabilities = m.SequenceNum, m.Capabilities
	if d := m.AgentDescription; d != nil {
		a.id = fleetID(a.uid, d)
	}
	if m.AgentDisconnect != nil {
		s.gone(ctx, c, a)
		return nil
	}
	if a.id == "" || missed && m.AgentDescription == nil {
		return &protobufs.ServerToAgent{Capabilities: capabilities, Flags: uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportFullState)}
	}
	if status := m.RemoteConfigStatus; status != nil {
		a.reported, a.hash = true, hashText(status.LastRemoteConfigHash)
	} else if m.AgentDescription != nil && !a.reported {
		a.reported, a.hash = true, "" // a full report without a status
	}
	offer, err := s.fleet.Seen(ctx, sighting(a.id, c, m))
	if err != nil {
		return s.failure(a, err)
	}
	out := &protobufs.ServerToAgent{RemoteConfig: a.configuration(offer, c.webSocket() != nil)}
	if list := m.AvailableComponents; list != nil {
		if len(list.Components) > 0 {
			a.components = sha256.Sum256(list.Hash)
		} else if len(list.Hash) > 0 && sha256.Sum256(list.Hash) != a.components {
			out.Flags |= uint64(protobufs.ServerToAgentFlags_ServerToAgentFlags_ReportAvailableComponents)
		}
	}
	if c.webSocket() != nil && out.RemoteConfig == nil && out.Flags == 0 && m.AgentDescription == nil {
		return nil // a heartbeat needs no answer
	}
	out.Capabilities = capabilities
	return out
}

// offer sends the agent what it should run, unless it was sent before.
func (s *Server) offer(ctx context.Context, c *connection, a *agent) {
	a.exchange.Lock()
	defer a.exchange.Unlock()
	if a.id == "" || !a.uses(c) {
		return
	}
	offer, err := s.fleet.Seen(ctx, fleet.Sighting{ID: a.id, Transport: fleet.TransportOpAMP, Address: c.address, Partial: true})
	if err != nil {
		if ctx.Err() == nil {
			s.logger.Warn("What an agent should run cannot be decided", zap.String("id", a.id), zap.Error(err))
		}
		return
	}
	if config := a.configuration(offer, true); config != nil {
		c.send(ctx, &protobufs.ServerToAgent{InstanceUid: a.uid[:], RemoteConfig: config})
	}
}

// configuration returns the offer if it has to be sent, or nil. Over a WebSocket it is
// sent once, with polling until the agent reports that it has it.
func (a *agent) configuration(o fleet.Offer, webSocket bool) *protobufs.AgentRemoteConfig {
	has := func(c protobufs.AgentCapabilities) bool { return a.capabilities&uint64(c) != 0 }
	reports := has(protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig)
	switch {
	case !has(protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig), reports && !a.reported:
		return nil
	case reports && a.hash == o.Hash:
		a.sent, a.offered = true, o.Hash
		return nil
	case a.sent && a.offered == o.Hash && (webSocket || !reports):
		return nil
	case !reports && !a.sent && o.Hash == "":
		return nil // it never received anything from this server
	}
	a.sent, a.offered = true, o.Hash
	return remoteConfig(o)
}

// gone records that an agent disconnected on purpose.
func (s *Server) gone(ctx context.Context, c *connection, a *agent) {
	c.remove(a)
	a.release(c)
	s.agents.Remove(a.uid)
	if a.id == "" {
		return
	}
	if err := s.fleet.Gone(ctx, a.id); err != nil && !errors.Is(err, fleet.ErrNotFound) {
		s.logger.Warn("That an agent left cannot be recorded", zap.String("id", a.id), zap.Error(err))
	}
}

// failure returns the answer to a message that the fleet did not accept.
func (s *Server) failure(a *agent, err error) *protobufs.ServerToAgent {
	if errors.Is(err, fleet.ErrInvalid) {
		return refusal(err.Error())
	}
	s.logger.Warn("An agent's message cannot be recorded", zap.String("id", a.id), zap.Error(err))
	text := "the message cannot be recorded"
	if errors.Is(err, fleet.ErrFull) {
		text = "there are as many collectors as may be"
	}
	return unavailable(text)
}

func refusal(text string) *protobufs.ServerToAgent {
	return &protobufs.ServerToAgent{ErrorResponse: &protobufs.ServerErrorResponse{
		Type: protobufs.ServerErrorResponseType_ServerErrorResponseType_BadRequest, ErrorMessage: text,
	}}
}

func unavailable(text string) *protobufs.ServerToAgent {
	return &protobufs.ServerToAgent{ErrorResponse: &protobufs.ServerErrorResponse{
		Type: protobufs.ServerErrorResponseType_ServerErrorResponseType_Unavailable, ErrorMessage: text,
		Details: &protobufs.ServerErrorResponse_RetryInfo{RetryInfo: &protobufs.RetryInfo{RetryAfterNanoseconds: uint64(retryAfter)}},
	}}
}

func identification(given uuid.UUID) *protobufs.ServerToAgent {
	return &protobufs.ServerToAgent{
		Capabilities:        capabilities,
		AgentIdentification: &protobufs.AgentIdentification{NewInstanceUid: slices.Clone(given[:])},
	}
}
