// Package transport is what the extension and the protocols it can talk agree
// on: who the collector is, what it reports, and what a server may answer.
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
	// Start begins to ask the server and does not wait for it: an error is one
	// of the configuration (an authenticator that is not there, a certificate
	// that cannot be read), never the server's. offered is called with each
	// configuration that the server hands out and that is not the one handed
	// over before, never concurrently; it returns quickly. ctx is that of the
	// component's Start and bounds nothing that goes on afterwards.
	Start(ctx context.Context, host component.Host, offered func(Offer)) error
	// Report tells what changed about the collector; the newest report goes with
	// the next message, or at once where the protocol can. The transport does not
	// change the report, nor may the caller afterwards. A report comes before
	// Start, and one from within each call of offered, so that the transport holds
	// no lock during that.
	Report(Report)
	// Shutdown takes leave of the server as the protocol has it, for as long as
	// ctx permits, and waits for all that Start began.
	Shutdown(ctx context.Context) error
}

// Offer is a configuration from the server.
type Offer struct {
	// Set is the pipelines to run, empty for none. It is nil if Err is set.
	Set remoteconf.Set
	// Hash is the server's name for this configuration, which it is to get back
	// in reports. Where a server gives none, it is Set.Hash(); so it is "" only
	// for an empty set that the server gave no hash.
	Hash string
	// Err tells why the content cannot be read. The extension reports Hash as
	// failed with it, and goes on with what runs.
	Err error
}

// Report is what the server is told about the collector.
type Report struct {
	// Hash is Offer.Hash of the configuration that was received last, "" before
	// there is one.
	Hash string
	// Status is what became of it; StatusUnset before there is one.
	Status remoteconf.Status
	// Error is why it failed, for the server's users to read; "" if it did not.
	Error string
	// Effective is what runs, as YAML without secrets, by the name of the remote
	// pipeline, and LocalConfig for the collector's local configuration if that
	// is reported.
	Effective map[string][]byte
	// Health is how the collector's remote pipelines do.
	Health Health
}

// LocalConfig is the key of the collector's local configuration in
// Report.Effective. Pipelines cannot have this name.
const LocalConfig = "(local)"

// Health is the state of the collector's remote pipelines, of these below, and of
// their components below these.
type Health = remotepipelines.Health

// Identity is who the collector is.
type Identity struct {
	// ID tells this collector from all others: a UUID if it was generated, any
	// text without control characters if a user chose it.
	ID string
	// Name is for people; it may be empty.
	Name string
	// Attributes are what a server chooses configurations by: the user's and the
	// built-in ones, which begin with "collector.".
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
