package opamptransport

import (
	"sync"

	"github.com/google/uuid"
	"github.com/open-telemetry/opamp-go/protobufs"
	"google.golang.org/protobuf/proto"

	"github.com/invar-otel/invar/extension/remoteconfigextension/internal/transport"
)

// agent is the state of the collector and the part of it that the server has. A message
// has what changed. It has everything after a new connection, after a message may have
// been lost, and if the server asks for it. It is safe for concurrent use.
type agent struct {
	identity     transport.Identity
	capabilities protobufs.AgentCapabilities
	components   *protobufs.AvailableComponents
	// changed is readable after a change.
	changed chan struct{}

	mu       sync.Mutex
	uid      uuid.UUID
	former   uuid.UUID // the last uid, which answers under way may still have
	sequence uint64
	// all and list are set if the next message must have everything, and the full
	// list of components.
	all, list bool
	now, told state
}

// state is the part of the messages that changes. Its messages are immutable.
type state struct {
	description *protobufs.AgentDescription
	status      *protobufs.RemoteConfigStatus
	effective   *protobufs.EffectiveConfig
	health      *protobufs.ComponentHealth
}

func newAgent(id transport.Identity, uid uuid.UUID, restarts bool) *agent {
	a := &agent{
		identity: id, uid: uid, former: uid,
		components: availableComponents(id.Components),
		changed:    make(chan struct{}, 1),
		all:        true,
		capabilities: protobufs.AgentCapabilities_AgentCapabilities_ReportsStatus |
			protobufs.AgentCapabilities_AgentCapabilities_AcceptsRemoteConfig |
			protobufs.AgentCapabilities_AgentCapabilities_ReportsRemoteConfig |
			protobufs.AgentCapabilities_AgentCapabilities_ReportsEffectiveConfig |
			protobufs.AgentCapabilities_AgentCapabilities_ReportsHealth |
			protobufs.AgentCapabilities_AgentCapabilities_ReportsHeartbeat |
			protobufs.AgentCapabilities_AgentCapabilities_ReportsAvailableComponents,
	}
	if restarts {
		a.capabilities |= protobufs.AgentCapabilities_AgentCapabilities_AcceptsRestartCommand
	}
	a.now = state{
		description: description(id, uid),
		status:      remoteConfigStatus(transport.Report{}),
		effective:   effectiveConfig(nil),
	}
	return a
}

// report sets the reported state.
func (a *agent) report(r transport.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now.status = remoteConfigStatus(r)
	a.now.effective = effectiveConfig(r.Effective)
	if r.Health.Status != "" || r.Health.Healthy || r.Health.Error != "" {
		a.now.health = componentHealth(r.Health) // unknown until then
	}
	if a.outstanding() {
		a.wake()
	}
}

// outstanding reports whether there is something to send. The caller holds mu.
func (a *agent) outstanding() bool {
	return a.all || a.list ||
		!proto.Equal(a.now.description, a.told.description) ||
		!proto.Equal(a.now.status, a.told.status) ||
		!proto.Equal(a.now.effective, a.told.effective) ||
		!proto.Equal(a.now.health, a.told.health)
}

func (a *agent) wake() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// message returns the next message and assumes that it will be delivered. If it is not,
// the caller calls lost.
func (a *agent) message() *protobufs.AgentToServer {
	a.mu.Lock()
	defer a.mu.Unlock()
	select {
	case <-a.changed: // part of this message
	default:
	}
	m := &protobufs.AgentToServer{
		InstanceUid: a.uid[:], SequenceNum: a.sequence, Capabilities: uint64(a.capabilities),
	}
	a.sequence++
	if a.all || !proto.Equal(a.now.description, a.told.description) {
		m.AgentDescription = a.now.description
	}
	if a.all || !proto.Equal(a.now.status, a.told.status) {
		m.RemoteConfigStatus = a.now.status
	}
	if a.all || !proto.Equal(a.now.effective, a.told.effective) {
		m.EffectiveConfig = a.now.effective
	}
	if a.all || !proto.Equal(a.now.health, a.told.health) {
		m.Health = a.now.health
	}
	switch {
	case a.list:
		m.AvailableComponents = a.components
	case a.all:
		m.AvailableComponents = &protobufs.AvailableComponents{Hash: a.components.Hash}
	}
	a.told, a.all, a.list = a.now, false, false
	return m
}

// farewell returns the last message.
func (a *agent) farewell() *protobufs.AgentToServer {
	m := a.message()
	m.AgentDisconnect = &protobufs.AgentDisconnect{}
	return m
}

// lost makes the next message have everything: the server may not have received the
// last one, or it is another server.
func (a *agent) lost() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = true
}

// asked makes the next message have what the server asks for.
func (a *agent) asked(all, list bool) {
	if !all && !list {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all, a.list = a.all || all, a.list || list
	a.wake()
}

// rename sets the uid that the server assigned, and reports whether it is a new one. A
// generated ID changes with it; an ID that a user chose does not.
func (a *agent) rename(uid uuid.UUID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if uid == a.uid {
		return false
	}
	if a.identity.ID == a.uid.String() {
		a.identity.ID = uid.String()
	}
	a.former, a.uid = a.uid, uid
	a.now.description = description(a.identity, uid)
	a.wake()
	return true
}

// isFor reports whether an answer is for this collector: one stream may carry the
// messages of several. Answers without a uid are.
func (a *agent) isFor(uid []byte) bool {
	if len(uid) == 0 {
		return true
	}
	id, err := uuid.FromBytes(uid)
	a.mu.Lock()
	defer a.mu.Unlock()
	return err == nil && (id == a.uid || id == a.former)
}
