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

// watcherID is an extension that each service has in addition. The host has no such
// type, so no configuration can name it.
var watcherID = component.NewID(component.MustNewType("remote_pipeline_watcher"))

func watcherFactory(w extension.Extension) extension.Factory {
	return extension.NewFactory(watcherID.Type(), func() component.Config { return &struct{}{} },
		func(context.Context, extension.Settings, component.Config) (extension.Extension, error) {
			return w, nil
		},
		component.StabilityLevelStable)
}

// watcher keeps the last status of each component of a service. The service calls it
// with a lock held, so it never blocks. It is safe for concurrent use.
type watcher struct {
	component.StartFunc
	component.ShutdownFunc

	fatal chan struct{} // closed at the first fatal error

	mu       sync.Mutex
	states   map[*componentstatus.InstanceID]state
	fatalErr *componentError
	notify   chan<- struct{} // receives a value after an error; nil without a probation
}

// state is a component's last status.
type state struct {
	event *componentstatus.Event
	since time.Time // when the component got into this status
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
	next := state{event: event, since: time.Now()}
	if last, ok := w.states[id]; ok && last.event.Status() == event.Status() {
		next.since = last.since
	}
	w.states[id] = next
	if event.Status() == componentstatus.StatusFatalError && w.fatalErr == nil {
		w.fatalErr = errorOf(id, next)
		close(w.fatal)
	}
	if w.notify != nil && componentstatus.StatusIsError(event.Status()) {
		select {
		case w.notify <- struct{}{}:
		default: // the last one has not been read yet
		}
	}
}

// setNotify sets the channel that receives a value after an error; nil turns it off.
func (w *watcher) setNotify(c chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notify = c
}

// worst returns the worst present error of a component, nil if there is none.
func (w *watcher) worst() *componentError { return w.worstExcept(nil) }

// worstExcept is worst, except that it ignores errors of these exporters that are not
// fatal.
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

// failing reports whether an exporter has an error.
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

// gravity orders statuses; a higher one is worse.
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

// key returns the key path of the component.
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

// health returns the states of the components.
func (w *watcher) health() map[string]Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	parts := make(map[string]Health, len(w.states))
	worst := make(map[string]int, len(w.states))
	for id, s := range w.states {
		name := strings.ToLower(id.Kind().String()) + ":" + id.ComponentID().String()
		g := gravity(s.event.Status())
		if known, ok := worst[name]; ok && known >= g {
			continue // there is a state per signal, and for processors per pipeline
		}
		worst[name] = g
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
