package pprofconv

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pprofile"
)

// SetName names the profile that sp holds: process_cpu, memory and so on.
func SetName(sp pprofile.ScopeProfiles, name string) {
	sp.Scope().Attributes().PutStr(NameAttribute, name)
}

// Name is the name that SetName gave, or the one that GuessName finds.
func Name(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) string {
	if v, ok := sp.Scope().Attributes().Get(NameAttribute); ok && v.AsString() != "" {
		return v.AsString()
	}
	return GuessName(dict, sp)
}

// GuessName tells from the sample types of a scope what its profile is usually
// called: the names are those of Go's pprof endpoints as Pyroscope keeps them.
// Contentions and delays are those of block profiles, since a mutex profile
// looks the same. A profile of no known type is called by its first sample
// type, and one without sample types "unknown".
func GuessName(dict pprofile.ProfilesDictionary, sp pprofile.ScopeProfiles) string {
	first := ""
	for _, p := range sp.Profiles().All() {
		sampleType := stringAt(dict, p.SampleType().TypeStrindex())
		switch {
		case sampleType == "cpu":
			return "process_cpu"
		case sampleType == "samples" && stringAt(dict, p.PeriodType().TypeStrindex()) == "cpu":
			return "process_cpu"
		case strings.HasPrefix(sampleType, "alloc_"), strings.HasPrefix(sampleType, "inuse_"):
			return "memory"
		case sampleType == "goroutine", sampleType == "goroutines":
			return "goroutine"
		case sampleType == "contentions", sampleType == "delay":
			return "block"
		case first == "":
			first = sampleType
		}
	}
	if first == "" {
		return "unknown"
	}
	return first
}

// stringAt is a string of the dictionary, or "" if the index is outside of it.
func stringAt(dict pprofile.ProfilesDictionary, i int32) string {
	if i < 0 || int(i) >= dict.StringTable().Len() {
		return ""
	}
	return dict.StringTable().At(int(i))
}
