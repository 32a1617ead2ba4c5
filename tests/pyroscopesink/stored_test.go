package pyroscopesink

import (
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// memory is a profile of allocations of the functions a and b, in use as much.
func memory(a, b int64) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "alloc_space", Unit: "bytes"}, {Type: "inuse_space", Unit: "bytes"}}}
	for i, v := range []int64{a, b} {
		f := &profile.Function{ID: uint64(i + 1), Name: string(rune('a' + i))}
		l := &profile.Location{ID: uint64(i + 1), Line: []profile.Line{{Function: f}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{l}, Value: []int64{v, v}})
	}
	return p
}

func TestStored(t *testing.T) {
	f := func(path WritePath, delta string, want []int64, profiles ...*profile.Profile) {
		t.Helper()
		s := &Sink{}
		for _, p := range profiles {
			labels := map[string]string{"__name__": "memory", "service_name": "shop"}
			if delta != "" {
				labels["__delta__"] = delta
			}
			s.kept = append(s.kept, Profile{Labels: labels, Pprof: p})
		}
		var got []int64
		for _, p := range s.Stored(path, map[string]string{"service_name": "shop"}) {
			require.Equal(t, map[string]string{"__name__": "memory", "service_name": "shop"}, p.Labels)
			for _, sample := range p.Pprof.Sample {
				got = append(got, sample.Value[0])
				require.Positive(t, sample.Value[1])
			}
		}
		require.Equal(t, want, got)
	}
	steady := []*profile.Profile{memory(10, 5), memory(10, 5), memory(10, 5)}
	f(SegmentWriter, "", []int64{10, 5, 10, 5, 10, 5}, steady...)
	f(Ingester, "false", []int64{10, 5, 10, 5, 10, 5}, steady...)
	f(Ingester, "", []int64{0, 0, 0, 0, 0, 0}, steady...)
	f(Ingester, "", []int64{0, 0, 3, 0, 0, 0, 1, 1}, memory(10, 5), memory(13, 5), memory(2, 9), memory(3, 10))
}
