package pprofconv

import (
	"math/rand/v2"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// FuzzFromPprof checks that messages accepted by pprof's library survive a round trip.
func FuzzFromPprof(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(encode(f, randomProfile(rand.New(rand.NewPCG(seed, 2)))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := profile.ParseUncompressed(data)
		if err != nil {
			return
		}
		converted, err := FromPprof(p)
		if err != nil {
			return
		}
		dict := converted.Dictionary()
		sp := converted.ResourceProfiles().At(0).ScopeProfiles().At(0)
		kind, err := KindOf(dict, sp.Profiles().At(0))
		require.NoError(t, err)
		m := NewMessage(dict, kind, Options{})
		m.Describe(sp.Scope())
		for _, p := range sp.Profiles().All() {
			_, err = m.Add(p)
			require.NoError(t, err)
		}
		read, err := profile.ParseUncompressed(m.Append(nil))
		require.NoError(t, err)
		require.NoError(t, read.CheckValid())
		for i, st := range read.SampleType {
			total := int64(0)
			for _, s := range read.Sample {
				total = sum(total, s.Value[i])
			}
			require.Equal(t, totalOf(p, st.Type, st.Unit), total)
		}
	})
}

func totalOf(p *profile.Profile, typ, unit string) int64 {
	total := int64(0)
	for i, st := range p.SampleType {
		if st.Type == typ && st.Unit == unit {
			for _, s := range p.Sample {
				if v := s.Value[i]; v > 0 { // negative values are dropped
					total = sum(total, v)
				}
			}
		}
	}
	return total
}

// FuzzMessage checks that any OTLP message is either refused or becomes a valid pprof message.
func FuzzMessage(f *testing.F) {
	for seed := range uint64(10) {
		data, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(converted(f, randomProfile(rand.New(rand.NewPCG(seed, 3)))))
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		profiles, err := (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(data)
		if err != nil {
			return
		}
		dict := profiles.Dictionary()
		for _, rp := range profiles.ResourceProfiles().All() {
			for _, sp := range rp.ScopeProfiles().All() {
				Name(dict, sp)
				for _, p := range sp.Profiles().All() {
					kind, err := KindOf(dict, p)
					if err != nil {
						continue
					}
					m := NewMessage(dict, kind, Options{CPUTime: true})
					m.Describe(sp.Scope())
					if _, err := m.Add(p); err != nil {
						continue
					}
					_, err = profile.ParseUncompressed(m.Append(nil))
					require.NoError(t, err)
				}
			}
		}
	})
}

// converted returns a message as pprofile.
func converted(tb testing.TB, p *profile.Profile) pprofile.Profiles {
	tb.Helper()
	profiles, err := FromPprof(p)
	require.NoError(tb, err)
	return profiles
}

// encode encodes a message with this package.
func encode(tb testing.TB, p *profile.Profile) []byte {
	tb.Helper()
	profiles := converted(tb, p)
	m := NewMessage(profiles.Dictionary(), Kind{PeriodType: "cpu", PeriodUnit: "nanoseconds", Period: 1}, Options{})
	for _, p := range profiles.ResourceProfiles().At(0).ScopeProfiles().At(0).Profiles().All() {
		_, err := m.Add(p)
		require.NoError(tb, err)
	}
	return m.Append(nil)
}
