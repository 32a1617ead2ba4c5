package pprofconv

import (
	"fmt"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// benchProfile has 1,000 stacks of 30 frames over 2,000 functions.
func benchProfile() *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1e7,
		Mapping: []*profile.Mapping{{ID: 1, Limit: 1 << 30, File: "/bin/server", BuildID: "abc", HasFunctions: true}},
	}
	for i := range 2000 {
		f := &profile.Function{ID: uint64(i + 1), Name: fmt.Sprintf("example.com/server/package%d.Function%d", i%40, i), Filename: fmt.Sprintf("file%d.go", i%200)}
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, &profile.Location{
			ID: uint64(i + 1), Mapping: p.Mapping[0], Address: uint64(i * 64), Line: []profile.Line{{Function: f, Line: int64(i)}},
		})
	}
	for i := range 1000 {
		s := &profile.Sample{Value: []int64{int64(i%7 + 1), int64(i%7+1) * 1e7}}
		for depth := range 30 {
			s.Location = append(s.Location, p.Location[(i*(30-depth)+depth*67)%2000])
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func BenchmarkFromPprof(b *testing.B) {
	p := benchProfile()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromPprof(p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(p.Sample)), "ns/sample")
}

func BenchmarkMessage(b *testing.B) {
	p := benchProfile()
	converted, err := FromPprof(p)
	require.NoError(b, err)
	sp := converted.ResourceProfiles().At(0).ScopeProfiles().At(0)
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		m := NewMessage(converted.Dictionary(), Kind{PeriodType: "cpu", PeriodUnit: "nanoseconds", Period: 1e7}, Options{})
		for _, p := range sp.Profiles().All() {
			if _, err := m.Add(p); err != nil {
				b.Fatal(err)
			}
		}
		out = m.Append(out[:0])
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(p.Sample)), "ns/sample")
	b.ReportMetric(float64(len(out))/float64(len(p.Sample)), "B/sample")
}
