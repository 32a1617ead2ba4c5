package fleet

import "github.com/invar-otel/invar/internal/remoteconf"

// Transports that a Sighting can come by.
const (
	TransportConnect = "connect"
	TransportOpAMP   = "opamp"
)

// Sighting is what a collector said in one message, by either transport. The
// fleet keeps what it needs of it: the caller must not change the maps and
// slices afterwards.
type Sighting struct {
	// ID tells collectors apart. It is the only field that must be there.
	ID string
	// Name and Version are for people. Empty: unchanged.
	Name, Version string
	// Transport is TransportConnect or TransportOpAMP.
	Transport string
	// Token is the name of the token that it was said with. Empty: unchanged.
	Token string
	// Address is where the message came from, host:port or a host.
	Address string
	// Attributes are what matchers match. Nil: unchanged.
	Attributes map[string]string
	// Partial means that Hash, Status and Error are not told: unchanged.
	Partial bool
	// Hash is that of the content the collector received last, in any status.
	Hash string
	// Status is what became of that content, Error why it failed.
	Status remoteconf.Status
	Error  string
	// Effective is what the collector runs, as YAML by name. Nil: unchanged.
	Effective map[string][]byte
	// Healthy and HealthText are the collector's own judgement. Nil: unchanged,
	// or not known if it was never told.
	Healthy    *bool
	HealthText string
	// Components are the components in the collector's binary, as kind/type.
	// Nil: unchanged.
	Components []string
}

// Offer is what a collector should run. It is shared between collectors with
// the same pipelines, and must not be changed.
type Offer struct {
	Set remoteconf.Set
	// Hash is Set.Hash(): "" for no pipelines.
	Hash string

	contents *contents
}
