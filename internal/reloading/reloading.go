// Package reloading lets an extension ask the process to reload its configuration,
// and learn the outcome.
//
//	internal/collector ── ContextWith ──▶ ctx of Start ── FromContext ──▶ extension
//
// The process implements [Controller]; extensions find it in the context of their
// Start. Binaries that run upstream's collector have none.
package reloading

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

// Trigger is the origin of a request for a reload.
type Trigger string

// The triggers. [File] and [Provider] leave a configuration alone that equals the
// running one. The others restart it, which reads certificates and other files
// again; all but [Signal] are limited in how often they do.
const (
	Signal   Trigger = "signal"   // SIGHUP
	HTTP     Trigger = "http"     // a request to the reload extension
	File     Trigger = "file"     // the reload extension saw a changed file
	Provider Trigger = "provider" // a confmap provider reported a change
)

// Watches reports whether the trigger is a watcher, which wants no restart of an
// unchanged configuration.
func (t Trigger) Watches() bool { return t == File || t == Provider }

// Result is the outcome of a reload.
type Result string

// The results.
const (
	Applied    Result = "applied"     // the new configuration runs
	Unchanged  Result = "unchanged"   // it equals the running one, which goes on
	Rejected   Result = "rejected"    // it is wrong; the running one was not touched
	RolledBack Result = "rolled_back" // it did not start; the previous one was started again
)

// ErrEnding is returned for a reload that the process has ended before.
var ErrEnding = errors.New("the process is ending")

// Controller reloads the configuration of the process. Its methods are safe for
// concurrent use, and may be called by a component that a reload shuts down.
type Controller interface {
	// Reload loads the configuration again and waits for the outcome, which for a
	// new configuration is known a few seconds after its start. The error is the
	// reason if the result is Rejected or RolledBack. With ErrEnding or the error
	// of ctx there is no result; the end of ctx does not end the reload.
	//
	// Reload may shut the calling component down: its Shutdown must not wait for
	// the call.
	Reload(ctx context.Context, trigger Trigger) (Result, error)
	// Status returns what runs and how the last reload ended.
	Status() Status
	// ConfigFiles returns the files that the running configuration and the last
	// attempt were read from, sorted by path.
	ConfigFiles() []ConfigFile
	// Go runs f in a goroutine that may outlive the component. The process waits
	// for it before it ends, so f must be bounded.
	Go(f func())
}

// ConfigFile is a file that configuration is read from.
type ConfigFile struct {
	Path string // as configured, so it may be relative
	// Digest is of the contents as they were last read.
	Digest Digest
}

// Digest identifies the contents of a file. It is zero for what cannot be read: a
// file that does not exist, or something else such as a pipe, whose next reader would
// find it empty.
type Digest [sha256.Size]byte

// DigestFile returns the digest of the present contents of a file.
func DigestFile(path string) Digest {
	file, err := regularfile.Open(path)
	if err != nil {
		return Digest{}
	}
	defer file.Close()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return Digest{}
	}
	return Digest(h.Sum(nil))
}

// Status is the state of the process's configuration.
type Status struct {
	// Generation counts the services that have been started, from 1.
	Generation int
	// RunningSince is when the running service was started; zero if none runs.
	RunningSince time.Time
	// Hash is the SHA-256 of the merged running configuration, in hexadecimal.
	Hash string
	// LastAttempt is nil before the first reload.
	LastAttempt *Attempt
}

// Attempt is one finished reload.
type Attempt struct {
	Time    time.Time // when it began
	Trigger Trigger
	Result  Result
	Err     error  // the reason, for Rejected and RolledBack
	Hash    string // of the configuration, empty if it could not be merged
}

type contextKey struct{}

// ContextWith returns a context that carries c.
func ContextWith(ctx context.Context, c Controller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// FromContext returns the controller that ctx carries, or nil.
func FromContext(ctx context.Context) Controller {
	c, _ := ctx.Value(contextKey{}).(Controller)
	return c
}
