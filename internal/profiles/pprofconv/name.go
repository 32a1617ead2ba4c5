package pprofconv

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// SetName names the profile that sp holds: process_cpu, memory and so on.
func SetName(sp pprofile.ScopeProfiles, name string) {
	sp.Scope().Attributes().PutStr(NameAttribute, name)
}

// Name is the name that SetName gave, or that of the first profile.
func Name(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) string {
	if v, ok := sp.Scope().Attributes().Get(NameAttribute); ok && v.AsString() != "" {
		return v.AsString()
	}
	return GuessName(dict, sp)
}

// GuessName is what the first profile of a scope is usually called, or "unknown" for
// a scope without profiles.
func GuessName(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) string {
	if names := guessNames(dict, sp); len(names) > 0 {
		return names[0]
	}
	return unknownName
}

// Names are the names of the profiles of a scope, in their order: the one that SetName
// gave, or for each what its sample type is usually called. The names are those of
// Go's pprof endpoints as Pyroscope keeps them. Contentions and delays are those of
// block profiles unless the period says mutex, since a mutex profile looks the same.
// Samples are named as what they were counted with: profiles of CPU or wall-clock
// time, of the same period. Other types are called by the first of them that has the
// same period, and a profile without a sample type "unknown".
func Names(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) []string {
	v, ok := sp.Scope().Attributes().Get(NameAttribute)
	if !ok || v.AsString() == "" {
		return guessNames(dict, sp)
	}
	names := make([]string, sp.Profiles().Len())
	for i := range names {
		names[i] = v.AsString()
	}
	return names
}

// IsCounter reports whether a profile of this name may be one that counts since the
// start of the process: Go's of allocations, contentions and delays.
func IsCounter(name string) bool { return name == "memory" || name == "block" || name == "mutex" }

// SetCumulative notes that the profile that sp holds may count since the start of the
// process.
func SetCumulative(sp pprofile.ScopeProfiles) {
	sp.Scope().Attributes().PutBool(CumulativeAttribute, true)
}

// IsCumulative reports whether SetCumulative was called.
func IsCumulative(scope pcommon.InstrumentationScope) bool {
	v, ok := scope.Attributes().Get(CumulativeAttribute)
	return ok && v.Type() == pcommon.ValueTypeBool && v.Bool()
}

const (
	unknownName = "unknown"
	nameCPU     = "process_cpu"
	nameWall    = "wall"
	typeSamples = "samples"
)

func guessNames(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) []string {
	names := make([]string, sp.Profiles().Len())
	timed, others := map[Kind]string{}, map[Kind]string{}
	kind := func(p pprofile.Profile) Kind {
		period := p.PeriodType()
		return Kind{stringAt(dict, period.TypeStrindex()), stringAt(dict, period.UnitStrindex()), p.Period()}
	}
	for i, p := range sp.Profiles().All() {
		names[i] = nameOfType(stringAt(dict, p.SampleType().TypeStrindex()), stringAt(dict, p.PeriodType().TypeStrindex()))
		if k := kind(p); timed[k] == "" && (names[i] == nameCPU || names[i] == nameWall) {
			timed[k] = names[i]
		}
	}
	for i, p := range sp.Profiles().All() {
		if names[i] != "" {
			continue
		}
		k, sampleType := kind(p), stringAt(dict, p.SampleType().TypeStrindex())
		if sampleType == typeSamples && timed[k] != "" {
			names[i] = timed[k]
			continue
		}
		if others[k] == "" {
			others[k] = sampleType
		}
		if names[i] = others[k]; names[i] == "" {
			names[i] = unknownName
		}
	}
	return names
}

// nameOfType is what a profile of a known sample type is called, or empty.
func nameOfType(sampleType, periodType string) string {
	switch {
	case sampleType == "cpu", sampleType == typeSamples && periodType == "cpu":
		return nameCPU
	case sampleType == "wall", sampleType == typeSamples && periodType == "wall":
		return nameWall
	case sampleType == "off_cpu":
		return "off_cpu"
	case strings.HasPrefix(sampleType, "alloc_"), strings.HasPrefix(sampleType, "inuse_"):
		return "memory"
	case sampleType == "goroutine", sampleType == "goroutines":
		return "goroutine"
	case sampleType == "contentions", sampleType == "delay":
		if periodType == "mutex" {
			return "mutex"
		}
		return "block"
	}
	return ""
}

// stringAt is a string of the dictionary, or "" if the index is outside of it.
func stringAt(dict pprofile.ProfilesDictionary, i int32) string {
	if i < 0 || int(i) >= dict.StringTable().Len() {
		return ""
	}
	return dict.StringTable().At(int(i))
}
