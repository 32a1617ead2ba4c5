package pyroscopesink

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Canonical returns the content of a profile as text, one fact per line. Profiles that
// differ only in the order and the IDs of their tables, in entries that no sample refers to,
// in rows that add up to the same, or in rows or columns of nothing but zeros have the
// same lines.
func Canonical(p *profile.Profile) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if t := p.PeriodType; t != nil {
		say("period: %d %s in %s", p.Period, t.Type, t.Unit)
	}
	say("time: %d ns + %d ns", p.TimeNanos, p.DurationNanos)
	say("default sample type: %q, drop frames: %q, keep frames: %q, doc: %q", p.DefaultSampleType, p.DropFrames, p.KeepFrames, p.DocURL)
	for i, c := range p.Comments {
		say("comment %d: %q", i, c)
	}
	for i, t := range p.SampleType {
		rows := map[string]int64{}
		for _, s := range p.Sample {
			rows[canonicalSample(s)] += s.Value[i]
		}
		maps.DeleteFunc(rows, func(_ string, v int64) bool { return v == 0 })
		if len(rows) > 0 {
			say("sample type: %s in %s", t.Type, t.Unit)
		}
		for _, key := range slices.Sorted(maps.Keys(rows)) {
			say("%d%s", rows[key], key)
		}
	}
	return lines
}

// canonicalSample returns the labels and the stack of a sample, innermost frame first.
func canonicalSample(s *profile.Sample) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Label)) {
		fmt.Fprintf(&b, " %s=%q", name, s.Label[name])
	}
	for _, name := range slices.Sorted(maps.Keys(s.NumLabel)) {
		fmt.Fprintf(&b, " %s=%v%q", name, s.NumLabel[name], s.NumUnit[name])
	}
	for _, l := range s.Location {
		fmt.Fprintf(&b, "\n  at %#x", l.Address)
		if l.IsFolded {
			b.WriteString(" folded")
		}
		if m := l.Mapping; m != nil {
			fmt.Fprintf(&b, " of %q %q %#x-%#x +%#x %t %t %t %t", m.File, m.BuildID, m.Start, m.Limit, m.Offset,
				m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames)
		}
		for _, line := range l.Line {
			b.WriteString("\n    ")
			if f := line.Function; f != nil {
				fmt.Fprintf(&b, "%q %q %q:%d ", f.Name, f.SystemName, f.Filename, f.StartLine)
			}
			fmt.Fprintf(&b, "line %d:%d", line.Line, line.Column)
		}
	}
	return b.String()
}
