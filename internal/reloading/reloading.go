// Package reloading is how an extension asks the process to load its
// configuration again, and learns what became of it.
//
//	internal/collector ── ContextWith ──▶ ctx of Start ── FromContext ──▶ extension
//
// The process implements [Controller]; extensions find it in the context that
// their Start gets. In a binary that runs its service in another way there is
// none.
package reloading

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"github.com/invar-otel/invar/internal/bounded/regularfile"
)

// Trigger is what asked for a reload.
type Trigger string

// The triggers. After [File] and [Provider] a configuration that equals the
// running one is left alone; the others restart it, so that certificates and
// other files are read again, but not again and again: only [Signal] does.
const (
	Signal   Trigger = "signal"   // SIGHUP
	HTTP     Trigger = "http"     // a request to the reload extension
	File     Trigger = "file"     // the reload extension saw a changed file
	Provider Trigger = "provider" // a confmap provider reported a change
)

// Watches says that the trigger is a watcher, not somebody who wants a restart.
func (t Trigger) Watches() bool { return t == File || t == Provider }

// Result is what became of a reload.
type Result string

// The results.
const (
	Applied    Result = "applied"     // the new configuration runs
	Unchanged  Result = "unchanged"   // it equals the running one, which goes on
	Rejected   Result = "rejected"    // it is wrong; the running one was not touched
	RolledBack Result = "rolled_back" // it did not start; the previous one was started again
)

// ErrEnding is returned for a reload that the end of the process came before.
var ErrEnding = errors.New("the process is ending")

// Controller reloads the configuration of the process. Its methods may be
// called at any time, from any goroutine, also from a component that a reload
// shuts down.
type Controller interface {
	// Reload loads the configuration again and waits until it is decided what
	// becomes of it: for a new one that is a few seconds after its start. The
	// error is the reason if the result is Rejected or RolledBack; with
	// ErrEnding, or the error of ctx, there is no result. The end of ctx ends
	// the waiting only.
	//
	// A component that has called Reload is shut down by it: its Shutdown must
	// not wait for the call.
	Reload(ctx context.Context, trigger Trigger) (Result, error)
	// Status says what runs and how the last reload ended.
	Status() Status
	// ConfigFiles returns the files that the running configuration and the last
	// attempt were read from, sorted by path.
	ConfigFiles() []ConfigFile
	// Go runs f in a goroutine that may outlive the component. The process
	// waits for it before it ends, so f has to have a bound.
	Go(f func())
}

// ConfigFile is a file that configuration is read from.
type ConfigFile struct {
	Path string // as configured, so it may be relative
	// Digest is that of the content when it was last read.
	Digest Digest
}

// Digest tells contents of a file apart. The zero value stands for what cannot be
// read: a file that is not there, and anything that is no file, such as a pipe,
// which would be empty for the next reader.
type Digest [sha256.Size]byte

// DigestFile returns the digest of what is in a file now.
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

// Status is the state of a process' configuration.
type Status struct {
	// Generation counts the services that have been started, from 1.
	Generation int
	// RunningSince is when the running service had been started, and zero
	// while nothing runs.
	RunningSince time.Time
	// Hash is the SHA-256 of the running configuration after all its parts have
	// been merged, in hexadecimal.
	Hash string
	// LastAttempt is nil before the first reload.
	LastAttempt *Attempt
}

// Attempt is one reload that has been decided.
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
