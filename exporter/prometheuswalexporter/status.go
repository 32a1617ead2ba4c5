package prometheuswalexporter

import (
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
)

// statusReporter reports changes of the component's status, and only changes.
// The reasons are independent: it is OK again when none is left.
type statusReporter struct {
	mu      sync.Mutex
	host    component.Host
	reasons map[statusReason]bool
	final   bool // a permanent error has been reported
}

type statusReason string

const (
	reasonEndpoint    statusReason = "endpoint"
	reasonLog         statusReason = "log"
	reasonTranslation statusReason = "translation"
)

func (s *statusReporter) start(host component.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host, s.reasons = host, make(map[statusReason]bool)
}

// failing reports a recoverable error, and whether the reason is new.
func (s *statusReporter) failing(why statusReason, err error) bool {
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

// healthy takes a reason back, and reports whether there was one.
func (s *statusReporter) healthy(why statusReason) bool {
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

// permanent reports what only a new configuration can mend.
func (s *statusReporter) permanent(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.host == nil || s.final {
		return
	}
	s.final = true
	componentstatus.ReportStatus(s.host, componentstatus.NewPermanentErrorEvent(err))
}
