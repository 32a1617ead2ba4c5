//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"github.com/prometheus/prometheus/model/relabel"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// forgetAfter is for how many periods a process is remembered that is not
// sampled.
const forgetAfter = 4

// knownProcesses remembers processes, so that each is looked at once. It is used
// by one goroutine.
type knownProcesses map[processKey]*knownProcess

type knownProcess struct {
	process    attribution.Process
	targets    *attribution.Targets // by which the rest was found
	attributes attribution.Attributes
	keep       bool
	idle       int // periods
}

// attributes tells the attributes of a process' profiles, and whether it is to be
// profiled. They are found again when there are other targets.
func (k knownProcesses) attributes(key processKey, s *sampled, targets *attribution.Targets, rules []*relabel.Config) (attribution.Attributes, bool) {
	p := k[key]
	isNew := p == nil
	if isNew {
		p = &knownProcess{process: s.process}
		if len(rules) > 0 {
			p.process.ReadCommand(procfs)
		}
		k[key] = p
	}
	if isNew || p.targets != targets {
		p.targets = targets
		p.attributes, p.keep = attribution.Of(p.process, targets, rules)
	}
	p.idle = 0
	return p.attributes, p.keep
}

// forget ends a period.
func (k knownProcesses) forget() {
	for key, p := range k {
		if p.idle++; p.idle > forgetAfter {
			delete(k, key)
		}
	}
}
