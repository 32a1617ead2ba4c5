package remoteconf

import "fmt"

// Status is the outcome of the configuration that a collector received last.
type Status int

// The numbers are those of collector.v1.RemoteConfigStatuses and of OpAMP's
// RemoteConfigStatuses.
const (
	StatusUnset Status = iota
	StatusApplied
	StatusApplying
	StatusFailed
)

// String returns the name that the protocols use.
func (s Status) String() string {
	switch s {
	case StatusUnset:
		return "UNSET"
	case StatusApplied:
		return "APPLIED"
	case StatusApplying:
		return "APPLYING"
	case StatusFailed:
		return "FAILED"
	default:
		return fmt.Sprintf("STATUS(%d)", int(s))
	}
}
