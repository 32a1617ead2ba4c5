// Package transport is the interface between the extension and its protocols: the
// identity of the collector, its reports, and the offers of a server.
package transport

import (
	"context"

	"go.opentelemetry.io/collector/component"

	"github.com/invar-otel/invar/extension/remoteconfigextension/remotepipelines"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// Transport talks to a server of configurations. Methods are safe for
// concurrent use, except that Start comes first and Shutdown last; Shutdown
// without Start does nothing.
type Transport interface {
	// Start starts to ask the server and does not wait for an answer. An error is
	// about the configuration (a missing authenticator, an unreadable certificate),
	// never about the server. offered is called with each configuration that differs
	// from the last one. It is not called concurrently, and must not block. ctx is
	// that of the component's Start.
	Start(ctx context.Context, host component.Host, offered func(Offer)) error
	// Report sets the state of the collector. The newest report is sent with the next
	// message, or at once if the protocol can. Neither the transport nor the caller
	// may modify the report afterwards. Report is called once before Start, and may
	// be called from within offered, so the transport must not hold a lock then.
	Report(Report)
	// Shutdown says goodbye to the server if the protocol can, stops everything that
	// Start started, and waits for that. It gives up at the end of ctx.
	Shutdown(ctx context.Context) error
}

// Offer is a configuration from the server.
type Offer struct {
	// Set is the pipelines to run, empty for none. It is nil if Err is set.
	Set remoteconf.Set
	// Hash is the server's identifier of the configuration, which reports repeat. If
	// the server gives none, it is Set.Hash(), which is "" for an empty set.
	Hash string
	// Err is why the content cannot be read. The extension reports that Hash has
	// failed, and changes nothing.
	Err error
}

// Report is the state of the collector as reported to the server.
type Report struct {
	// Hash is Offer.Hash of the configuration received last, or "" before the first.
	Hash string
	// Status is its outcome, or StatusUnset before the first.
	Status remoteconf.Status
	// Error is why it failed, for the server's users; "" if it did not.
	Error string
	// Effective is what runs, as YAML without secrets, by the name of the remote
	// pipeline. It has LocalConfig if the local configuration is reported.
	Effective map[string][]byte
	// Health is the state of the remote pipelines.
	Health Health
}

// LocalConfig is the key of the collector's local configuration in
// Report.Effective. Pipelines cannot have this name.
const LocalConfig = "(local)"

// Health is the state of the remote pipelines and, in its parts, of each pipeline and
// its components.
type Health = remotepipelines.Health

// Identity identifies and describes the collector.
type Identity struct {
	// ID identifies the collector: a UUID if generated, or any text without control
	// characters if a user chose it.
	ID string
	// Name is for people; it may be empty.
	Name string
	// Attributes are what a server selects configurations by: the user's, and the
	// built-in ones with the prefix "collector.".
	Attributes map[string]string
	// BuildInfo is the program's name and version.
	BuildInfo component.BuildInfo
	// Components are the types in the program.
	Components []Component
}

// Component is a component type in the program.
type Component struct {
	Kind component.Kind
	Type component.Type
	// Module is the Go module with its version, "example.org/m v1.2.3".
	Module string
}
