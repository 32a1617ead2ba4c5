// Package healthstatus reports the status of a component to the collector, by
// reason.
package healthstatus

import (
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// Reporter reports changes of a component's status. Reasons are independent: the
// status is OK again when the last reason is gone. The methods may be called
// concurrently. Before Start they do nothing.
type Reporter struct {
	mu      sync.Mutex
	host    component.Host
	reasons map[Reason]bool
	final   bool // a permanent error has been reported
}

// Reason names a fault that a component can have.
type Reason string

// Start begins to report to host, with no reason.
func (s *Reporter) Start(host component.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host, s.reasons = host, make(map[Reason]bool)
}

// Failing reports a recoverable error, unless the reason is there already. It
// returns whether the reason is new.
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

// Healthy removes a reason and returns whether it was there.
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

// Permanent reports an error that only a new configuration can fix. It is the last
// status that is reported.
func (s *Reporter) Permanent(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || s.final {
		return
	}
	s.final = true
	componentstatus.ReportStatus(s.host, componentstatus.NewPermanentErrorEvent(err))
}
