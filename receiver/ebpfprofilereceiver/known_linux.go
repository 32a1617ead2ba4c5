//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"cmp"

	"github.com/prometheus/prometheus/model/relabel"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// forgetAfter is the number of periods after which a process without samples is
// forgotten.
const forgetAfter = 4

// knownProcesses remembers processes, so each is relabelled once and keeps its command
// line after it has ended. It must be used by one goroutine only.
type knownProcesses struct {
	procfs string
	rules  []*relabel.Config
	of     map[processKey]*knownProcess
}

type knownProcess struct {
	process    attribution.Process
	targets    *attribution.Targets // that attributes and keep were computed with
	attributes attribution.Attributes
	keep       bool
	idle       int // periods without samples
}

func newKnownProcesses(procfs string, rules []*relabel.Config) knownProcesses {
	return knownProcesses{procfs: procfs, rules: rules, of: map[processKey]*knownProcess{}}
}

// attributes returns the attributes of a process' profiles, and whether the process is
// profiled. They are computed again when the process or the targets have changed.
func (k knownProcesses) attributes(key processKey, now attribution.Process, targets *attribution.Targets) (attribution.Attributes, bool) {
	p := k.of[key]
	isNew := p == nil
	if isNew {
		p = &knownProcess{}
		k.of[key] = p
	}
	if len(k.rules) > 0 {
		// In every period: a process may execute the same file again, change its user
		// or rewrite its command line, as PostgreSQL does.
		now.ReadProc(k.procfs)
		now.CommandLine = cmp.Or(now.CommandLine, p.process.CommandLine)
		now.UID = cmp.Or(now.UID, p.process.UID)
	}
	if isNew || p.process != now || p.targets != targets {
		p.process, p.targets = now, targets
		p.attributes, p.keep = attribution.Of(now, targets, k.rules)
	}
	p.idle = 0
	return p.attributes, p.keep
}

// endPeriod forgets the processes that have been idle for too long.
func (k knownProcesses) endPeriod() {
	for key, p := range k.of {
		if p.idle++; p.idle > forgetAfter {
			delete(k.of, key)
		}
	}
}
