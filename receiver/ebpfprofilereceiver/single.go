package ebpfprofilereceiver

import (
	"fmt"
	"sync"

	"go.opentelemetry.io/collector/component"
)

// activeReceiver admits one receiver to the process: two would sample every stack
// twice, and the profiler has process-wide state.
var activeReceiver single

// singleState is how far the one component of a single has come.
type singleState uint8

const (
	singleFree singleState = iota
	singleClaimed
	singleRunning
)

// single admits one component at a time:
//
//	free ── claim ──▶ claimed ── start ──▶ running
//	 ▲                   │                    │
//	 └──── release ──────┴─────── stop ───────┘
//
// Its methods are safe for concurrent use.
type single struct {
	mu    sync.Mutex
	state singleState
	id    component.ID // of the component, unless free
}

// takenError is returned to a receiver that starts while another one is profiling.
type takenError struct{ id, by component.ID }

// Error implements error.
func (e *takenError) Error() string {
	return fmt.Sprintf("receivers::%s: receivers::%s profiles the host already, and a process can have only one that does; "+
		"use one of them in all pipelines", e.id, e.by)
}

// Taken reports that the start can succeed once the other component has stopped,
// which lets remote_config stop the predecessor of a pipeline first.
func (*takenError) Taken() bool { return true }

// claim reserves the place for a component that is being created. A component may be
// created again, as when a configuration is tried, and claims the same place then.
func (s *single) claim(id component.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != singleFree && s.id != id {
		return fmt.Errorf("receivers::%s: there is receivers::%s already, and a process can have only one that profiles the host; "+
			"use one of them in all pipelines", id, s.id)
	}
	s.id = id
	if s.state == singleFree {
		s.state = singleClaimed
	}
	return nil
}

// start returns an error if a component is running. It does not need a claim, which
// another component may have taken over.
func (s *single) start(id component.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == singleRunning {
		return &takenError{id: id, by: s.id}
	}
	s.id, s.state = id, singleRunning
	return nil
}

// stop frees the place. Only the running component may call it.
func (s *single) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = singleFree
}

// release withdraws the claim of a component that was not started.
func (s *single) release(id component.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == singleClaimed && s.id == id {
		s.state = singleFree
	}
}
