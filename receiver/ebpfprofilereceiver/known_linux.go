//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"cmp"

	"github.com/prometheus/prometheus/model/relabel"

	"github.com/invar-otel/invar/receiver/ebpfprofilereceiver/internal/attribution"
)

// forgetAfter is for how many periods a process is remembered that is not
// sampled.
const forgetAfter = 4

// knownProcesses remembers processes, so that each is relabelled once, and has its
// command line also after it has ended. It is used by one goroutine.
type knownProcesses struct {
	procfs string
	rules  []*relabel.Config
	of     map[processKey]*knownProcess
}

type knownProcess struct {
	process    attribution.Process
	targets    *attribution.Targets // by which the rest was found
	attributes attribution.Attributes
	keep       bool
	idle       int // periods
}

func newKnownProcesses(procfs string, rules []*relabel.Config) knownProcesses {
	return knownProcesses{procfs: procfs, rules: rules, of: map[processKey]*knownProcess{}}
}

// attributes tells the attributes of a process' profiles, and whether it is to be
// profiled. They are found again when something of the process has changed, or
// when there are other targets.
func (k knownProcesses) attributes(key processKey, now attribution.Process, targets *attribution.Targets) (attribution.Attributes, bool) {
	p := k.of[key]
	isNew := p == nil
	if isNew {
		p = &knownProcess{}
		k.of[key] = p
	}
	if len(k.rules) > 0 {
		// Every time: a process may start another program of the same executable,
		// change its user or write its command line anew, as PostgreSQL does.
		now.ReadCommand(k.procfs)
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

// forget ends a period.
func (k knownProcesses) forget() {
	for key, p := range k.of {
		if p.idle++; p.idle > forgetAfter {
			delete(k.of, key)
		}
	}
}
