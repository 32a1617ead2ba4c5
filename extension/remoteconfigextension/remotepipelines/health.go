package remotepipelines

import (
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
)

var statusOK = componentstatus.StatusOK.String()

// Health is the state of all remote pipelines, of one pipeline, or of a component.
type Health struct {
	Healthy bool
	// Status is the name of a component status ("StatusOK"), the worst among the
	// parts, or "down" for a pipeline that should run but does not.
	Status string
	// Error is the reason if it is not healthy, with nothing that the server must
	// not see.
	Error string
	// Since is when a pipeline was started; zero if it is down, for components, and
	// for all pipelines together.
	Since time.Time
	// Changed is when Status changed; zero for all pipelines together.
	Changed time.Time
	// Parts are the pipelines by name, and the components of a pipeline by names
	// like "exporter:otlp_http/a".
	Parts map[string]Health
}

// Health returns the state of the running set. It may be called at any time.
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
