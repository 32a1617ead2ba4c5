// Package healthstatus reports a component's status to the collector, by reason.
package healthstatus

import (
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// Reporter reports changes of the component's status, and only changes.
// The reasons are independent: it is OK again when none is left.
// Its methods may be called concurrently; before Start they do nothing.
type Reporter struct {
	mu      sync.Mutex
	host    component.Host
	reasons map[Reason]bool
	final   bool // a permanent error has been reported
}

// Reason names one thing that can be wrong with a component.
type Reason string

// Start begins to report to host, with nothing wrong.
func (s *Reporter) Start(host component.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host, s.reasons = host, make(map[Reason]bool)
}

// Failing reports a recoverable error, and whether the reason is new.
func (s *Reporter) Failing(why Reason, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || s.reasons[why] {
		return false
	}
	s.reasons[why] = true
	if !s.final {
		componentstatus.ReportStatus(s.host, componentstatus.NewRecoverableErrorEvent(err))
	}
	return true
}

// Healthy takes a reason back, and reports whether there was one.
func (s *Reporter) Healthy(why Reason) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || !s.reasons[why] {
		return false
	}
	delete(s.reasons, why)
	if len(s.reasons) == 0 && !s.final {
		componentstatus.ReportStatus(s.host, componentstatus.NewEvent(componentstatus.StatusOK))
	}
	return true
}

// Permanent reports what only a new configuration can mend.
func (s *Reporter) Permanent(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || s.final {
		return
	}
	s.final = true
	componentstatus.ReportStatus(s.host, componentstatus.NewPermanentErrorEvent(err))
}
