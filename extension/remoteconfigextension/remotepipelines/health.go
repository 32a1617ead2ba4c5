package remotepipelines

import (
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
)

var statusOK = componentstatus.StatusOK.String()

// Health is the state of all remote pipelines, of one, or of a component.
type Health struct {
	Healthy bool
	// Status is the name of a component status ("StatusOK"), the gravest below
	// it, or "down" of a pipeline that does not run though it should.
	Status string
	// Error is the reason if it is not healthy, as it may be told to the server.
	Error string
	// Since is when it was started; the zero time for components, what is down,
	// and the whole.
	Since time.Time
	// Changed is when Status changed; the zero time for the whole.
	Changed time.Time
	// Parts are the pipelines by name, and below these their components as
	// "exporter:otlp_http/a".
	Parts map[string]Health
}

// Health returns how the running set does. It may be called at any time.
func (r *Runner) Health() Health {
	all := Health{Healthy: true, Status: statusOK, Parts: make(map[string]Health)}
	for name, p := range r.snapshot() {
		h := p.health()
		all.Parts[name] = h
		if !h.Healthy && (all.Healthy || h.Changed.After(all.Changed)) {
			all.Healthy, all.Status, all.Error, all.Changed = false, h.Status, "pipelines::"+name+": "+h.Error, h.Changed
		}
	}
	return all
}
