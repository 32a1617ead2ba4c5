package pprofconv

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// SetName sets the name of the profile in sp, like process_cpu or memory.
func SetName(sp pprofile.ScopeProfiles, name string) {
	sp.Scope().Attributes().PutStr(NameAttribute, name)
}

// Name returns the name set by SetName, or else GuessName.
func Name(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) string {
	if v, ok := sp.Scope().Attributes().Get(NameAttribute); ok && v.AsString() != "" {
		return v.AsString()
	}
	return GuessName(dict, sp)
}

// GuessName returns the usual name of the first profile of a scope, or "unknown" if the scope
// has no profiles.
func GuessName(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) string {
	if names := guessNames(dict, sp); len(names) > 0 {
		return names[0]
	}
	return unknownName
}

// Names returns the names of the profiles of a scope, in their order: for all of them the one
// set by SetName, or for each the usual name of its sample type. Usual names are those of
// Go's pprof endpoints as stored by Pyroscope. Contentions and delays belong to a block
// profile unless the period type is mutex, since mutex profiles have the same types. Samples
// have the name of the CPU or wall-clock profile with the same period. Any other profile is
// named after the first of them with the same period, or "unknown" if that has no sample
// type.
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

// IsCounter reports whether a profile of this name may be a total since the start of the
// process, as Go's profiles of allocations, contentions and delays are.
func IsCounter(name string) bool { return name == "memory" || name == "block" || name == "mutex" }

// SetCumulative marks the profile in sp as one that may be a total since the start of the
// process.
func SetCumulative(sp pprofile.ScopeProfiles) {
	sp.Scope().Attributes().PutBool(CumulativeAttribute, true)
}

// IsCumulative reports whether the scope was marked by SetCumulative.
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

// guessNames returns the usual names of the profiles of a scope; see Names.
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

// nameOfType returns the name of profiles with a well-known sample type, or "".
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

// stringAt returns a string of the dictionary, or "" if the index is out of range.
func stringAt(dict pprofile.ProfilesDictionary, i int32) string {
	if i < 0 || int(i) >= dict.StringTable().Len() {
		return ""
	}
	return dict.StringTable().At(int(i))
}
