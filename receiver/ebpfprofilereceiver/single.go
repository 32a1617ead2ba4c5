package ebpfprofilereceiver

import (
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
)

// theOne is the receiver of this process: two would sample every stack twice,
// and the profiler keeps state of its own for the whole process.
var theOne single

// single keeps the name of the one component that may be. Its methods may be
// called concurrently.
type single struct {
	mu      sync.Mutex
	id      *component.ID
	running bool // whose name is id
}

// takenError is the error of a receiver that starts while another one profiles.
type takenError struct{ id, by component.ID }

// Error implements error.
func (e *takenError) Error() string {
	return fmt.Sprintf("receivers::%s: receivers::%s profiles the host already, and a process can have only one that does; "+
		"use one of them in all pipelines", e.id, e.by)
}

// Taken reports that the start may succeed when the other component has stopped.
// The remote_config extension stops the predecessor of a pipeline for it.
func (*takenError) Taken() bool { return true }

// claim gives the place to a component that is being made. The same component
// may be made again, as it is when a configuration is tried.
func (s *single) claim(id component.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.id != nil && *s.id != id {
		return fmt.Errorf("receivers::%s: there is receivers::%s already, and a process can have only one that profiles the host; "+
			"use one of them in all pipelines", id, s.id)
	}
	s.id = &id
	return nil
}

// start tells whether the component may start.
func (s *single) start(id component.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running {
		return &takenError{id: id, by: *s.id}
	}
	s.id, s.running = &id, true
	return nil
}

// release gives the place free. started tells whether start has succeeded.
func (s *single) release(id component.ID, started bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if started {
		s.running = false
	}
	if !s.running && s.id != nil && *s.id == id {
		s.id = nil
	}
}
