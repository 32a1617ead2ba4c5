package pyroscopesink

import (
	"maps"
	"slices"
	"strings"
)

// WritePath is the value of Pyroscope's option write-path, which decides how it stores
// profiles.
type WritePath string

const (
	// Ingester is the default up to Pyroscope 1.21, and can be selected in 2. It treats
	// allocations as counters since the start of the process, and subtracts the previous
	// profile unless the label __delta__ is "false".
	Ingester WritePath = "ingester"
	// SegmentWriter is the default of Pyroscope 2. It stores profiles as they are.
	SegmentWriter WritePath = "segment-writer"
)

// labelDelta is stored by neither.
const labelDelta = "__delta__"

// Stored returns what Pyroscope would store of the profiles in the sink whose stored
// labels include labels, in the order of arrival. Values of 0 are left out.
func (s *Sink) Stored(path WritePath, labels map[string]string) []Profile {
	s.mu.Lock()
	kept := slices.Clone(s.kept)
	s.mu.Unlock()
	i := ingester{highest: map[string]map[string]int64{}}
	stored := make([]Profile, 0, len(kept))
	for _, p := range kept {
		p.Labels = maps.Clone(p.Labels)
		p.Pprof = p.Pprof.Copy()
		if path == Ingester && p.Labels[labelDelta] != "false" && p.Labels["__name__"] == "memory" {
			i.subtract(p)
		}
		delete(p.Labels, labelDelta)
		if p.has(labels) {
			stored = append(stored, p)
		}
	}
	return stored
}

// ingester holds the last value of each stack, by series and sample type.
type ingester struct {
	highest map[string]map[string]int64
}

// subtract replaces the allocations of p by their differences to the previous profile.
// The first profile of a series becomes empty, and so does one with a value that is
// lower than before.
func (i *ingester) subtract(p Profile) {
	var series strings.Builder
	series.WriteString(p.Tenant)
	for _, name := range slices.Sorted(maps.Keys(p.Labels)) {
		series.WriteString("\x00" + name + "\x00" + p.Labels[name])
	}
	for column, t := range p.Pprof.SampleType {
		if t.Type != "alloc_objects" && t.Type != "alloc_space" {
			continue
		}
		key := series.String() + "\x00" + t.Type
		next := map[string]int64{}
		for _, s := range p.Pprof.Sample {
			next[canonicalSample(s)] += s.Value[column]
		}
		known, before := i.highest[key]
		restarted := !before
		for stack, v := range next {
			restarted = restarted || v < known[stack]
		}
		counted := map[string]bool{}
		for _, s := range p.Pprof.Sample {
			stack := canonicalSample(s)
			if s.Value[column] = 0; !restarted && !counted[stack] {
				s.Value[column] = next[stack] - known[stack]
			}
			counted[stack] = true
		}
		if restarted {
			known = map[string]int64{}
		}
		maps.Copy(known, next)
		i.highest[key] = known
	}
}
