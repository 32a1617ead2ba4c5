package remotepipelines

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
)

// watcherID is the extension that each service has besides the configured ones.
// The host knows no such type, so that no configuration can name it.
var watcherID = component.NewID(component.MustNewType("remote_pipeline_watcher"))

func watcherFactory(w extension.Extension) extension.Factory {
	return extension.NewFactory(watcherID.Type(), func() component.Config { return &struct{}{} },
		func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
			return w, nil
		},
		component.StabilityLevelStable)
}

// watcher keeps the last status of each component of a service.
// It is told under a lock of the service's, and does not wait for anything.
type watcher struct {
	component.StartFunc
	component.ShutdownFunc

	fatal chan struct{} // closed at the first fatal error

	mu       sync.Mutex
	states   map[*componentstatus.InstanceID]state
	fatalErr *componentError
	notify   chan<- struct{} // told of errors while there is a probation
}

// state is a component's last status.
type state struct {
	event *componentstatus.Event
	since time.Time // when the status was not this kind of status before
}

// componentError is an error that a component reported.
type componentError struct {
	id     component.ID
	kind   component.Kind
	status componentstatus.Status
	err    error
	since  time.Time
}

func newWatcher() *watcher {
	return &watcher{fatal: make(chan struct{}), states: make(map[*componentstatus.InstanceID]state)}
}

var _ componentstatus.Watcher = (*watcher)(nil)

// ComponentStatusChanged implements componentstatus.Watcher.
func (w *watcher) ComponentStatusChanged(id *componentstatus.InstanceID, event *componentstatus.Event) {
	if id.ComponentID() == watcherID {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := state{event: event, since: time.Now()}
	if before, has := w.states[id]; has && before.event.Status() == event.Status() {
		now.since = before.since
	}
	w.states[id] = now
	if event.Status() == componentstatus.StatusFatalError && w.fatalErr == nil {
		w.fatalErr = errorOf(id, now)
		close(w.fatal)
	}
	if w.notify != nil && componentstatus.StatusIsError(event.Status()) {
		select {
		case w.notify <- struct{}{}:
		default: // one is on its way
		}
	}
}

// notifyOf sets who is told of errors, nil for nobody.
func (w *watcher) notifyOf(c chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify = c
}

// worst returns the gravest error that a component is in now, nil if none is.
func (w *watcher) worst() *componentError { return w.worstExcept(nil) }

// worstExcept is worst without the errors of these exporters that are not fatal.
func (w *watcher) worstExcept(exporters map[string]bool) *componentError {
	w.mu.Lock()
	defer w.mu.Unlock()
	var worst *componentError
	for id, s := range w.states {
		if !componentstatus.StatusIsError(s.event.Status()) {
			continue
		}
		if id.Kind() == component.KindExporter && exporters[id.ComponentID().String()] && s.event.Status() != componentstatus.StatusFatalError {
			continue
		}
		e := errorOf(id, s)
		if worst == nil || gravity(e.status) > gravity(worst.status) ||
			gravity(e.status) == gravity(worst.status) && e.since.Before(worst.since) {
			worst = e
		}
	}
	return worst
}

// fatalError returns the first fatal error, nil if there was none.
func (w *watcher) fatalError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fatalErr == nil {
		return nil
	}
	return w.fatalErr
}

// starting returns the key of the component that is being started, or "".
func (w *watcher) starting() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, s := range w.states {
		if s.event.Status() == componentstatus.StatusStarting {
			return errorOf(id, s).key()
		}
	}
	return ""
}

// failing reports whether an exporter is in an error.
func (w *watcher) failing(exporter string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, s := range w.states {
		if id.Kind() == component.KindExporter && id.ComponentID().String() == exporter && componentstatus.StatusIsError(s.event.Status()) {
			return true
		}
	}
	return false
}

func errorOf(id *componentstatus.InstanceID, s state) *componentError {
	return &componentError{id: id.ComponentID(), kind: id.Kind(), status: s.event.Status(), err: s.event.Err(), since: s.since}
}

// gravity orders statuses, the higher the worse.
func gravity(s componentstatus.Status) int {
	switch s {
	case componentstatus.StatusFatalError:
		return 5
	case componentstatus.StatusPermanentError:
		return 4
	case componentstatus.StatusRecoverableError:
		return 3
	case componentstatus.StatusStopping, componentstatus.StatusStopped:
		return 2
	case componentstatus.StatusStarting:
		return 1
	default:
		return 0
	}
}

// key is the component's key path.
func (e *componentError) key() string { return sectionOf(e.kind) + "::" + e.id.String() }

func sectionOf(kind component.Kind) string { return strings.ToLower(kind.String()) + "s" }

func (e *componentError) Error() string {
	text := "no reason given"
	if e.err != nil {
		text = e.err.Error()
	}
	return e.key() + ": " + e.status.String() + ": " + text
}

func (e *componentError) Unwrap() error { return e.err }

// health returns the components' states.
func (w *watcher) health() map[string]Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := make(map[string]Health, len(w.states))
	grave := make(map[string]int, len(w.states))
	for id, s := range w.states {
		name := strings.ToLower(id.Kind().String()) + ":" + id.ComponentID().String()
		g := gravity(s.event.Status())
		if was, has := grave[name]; has && was >= g {
			continue // a component has a state for each signal, and a processor for each pipeline
		}
		grave[name] = g
		h := Health{
			Healthy: !componentstatus.StatusIsError(s.event.Status()),
			Status:  s.event.Status().String(),
			Changed: s.since,
		}
		if !h.Healthy && s.event.Err() != nil {
			h.Error = classOf(s.event.Err())
		}
		parts[name] = h
	}
	return parts
}
