package pprofconv

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// Every profile of Go's runtime survives a round trip.
func TestRoundTripRuntime(t *testing.T) {
	for name, data := range runtimeProfiles(t) {
		t.Run(name, func(t *testing.T) {
			p := parsed(t, data)
			require.NotEmpty(t, p.Sample)
			assertSame(t, p, roundTrip(t, p))
		})
	}
}

// Profiles that use every field survive a round trip.
func TestRoundTripRandom(t *testing.T) {
	for seed := range uint64(300) {
		p := randomProfile(rand.New(rand.NewPCG(seed, 1)))
		require.NoError(t, p.CheckValid())
		assertSame(t, p, roundTrip(t, p))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// Several profiles are converted in one Batch, and each is converted back on its own.
func TestBatch(t *testing.T) {
	b := NewBatch(nil)
	var want []*profile.Profile
	for seed := range uint64(20) {
		p := randomProfile(rand.New(rand.NewPCG(seed, 8)))
		_, err := b.Add(&profile.Profile{SampleType: p.SampleType, Sample: []*profile.Sample{{Value: nil}}})
		require.Error(t, err)
		rp, err := b.Add(p)
		require.NoError(t, err)
		rp.Resource().Attributes().PutInt("seed", int64(seed))
		want = append(want, p)
	}
	all := b.Profiles()
	require.Equal(t, len(want), all.ResourceProfiles().Len())
	for i, rp := range all.ResourceProfiles().All() {
		sp := rp.ScopeProfiles().At(0)
		kind, err := KindOf(all.Dictionary(), sp.Profiles().At(0))
		require.NoError(t, err)
		m := NewMessage(all.Dictionary(), kind, Options{})
		m.Describe(sp.Scope())
		for _, p := range sp.Profiles().All() {
			_, err := m.Add(p)
			require.NoError(t, err)
		}
		read, err := profile.ParseUncompressed(m.Append(nil))
		require.NoError(t, err)
		assertSame(t, want[i], read)
	}
}

// Profiles survive a round trip with marshalled pprofile in between.
func TestRoundTripMarshalled(t *testing.T) {
	p := randomProfile(rand.New(rand.NewPCG(7, 7)))
	converted, err := FromPprof(p)
	require.NoError(t, err)
	data, err := (&pprofile.ProtoMarshaler{}).MarshalProfiles(converted)
	require.NoError(t, err)
	read, err := (&pprofile.ProtoUnmarshaler{}).UnmarshalProfiles(data)
	require.NoError(t, err)
	assertSame(t, p, back(t, read))
}

func parsed(tb testing.TB, data []byte) *profile.Profile {
	tb.Helper()
	p, err := profile.ParseData(data)
	require.NoError(tb, err)
	return p
}

func roundTrip(t *testing.T, p *profile.Profile) *profile.Profile {
	t.Helper()
	converted, err := FromPprof(p)
	require.NoError(t, err)
	return back(t, converted)
}

// back converts all profiles to one pprof message.
func back(t *testing.T, from pprofile.Profiles) *profile.Profile {
	t.Helper()
	dict := from.Dictionary()
	var m *Message
	for _, rp := range from.ResourceProfiles().All() {
		for _, sp := range rp.ScopeProfiles().All() {
			for _, p := range sp.Profiles().All() {
				if m == nil {
					kind, err := KindOf(dict, p)
					require.NoError(t, err)
					m = NewMessage(dict, kind, Options{})
					m.Describe(sp.Scope())
				}
				_, err := m.Add(p)
				require.NoError(t, err)
			}
		}
	}
	read, err := profile.ParseUncompressed(m.Append(nil))
	require.NoError(t, err)
	require.NoError(t, read.CheckValid())
	return read
}

func assertSame(t *testing.T, want, got *profile.Profile) {
	t.Helper()
	assert.Equal(t, want.SampleType, got.SampleType)
	if want.PeriodType != nil && *want.PeriodType != (profile.ValueType{}) {
		assert.Equal(t, want.PeriodType, got.PeriodType)
	}
	assert.Equal(t, want.Period, got.Period)
	assert.Equal(t, want.TimeNanos, got.TimeNanos)
	assert.Equal(t, want.DurationNanos, got.DurationNanos)
	assert.Equal(t, want.DefaultSampleType, got.DefaultSampleType)
	assert.Equal(t, want.DropFrames, got.DropFrames)
	assert.Equal(t, want.KeepFrames, got.KeepFrames)
	assert.Equal(t, want.DocURL, got.DocURL)
	assert.Equal(t, want.Comments, got.Comments)
	a, b := canonical(want), canonical(got)
	assert.Len(t, b, len(a))
	for key, values := range a {
		if !assert.Equal(t, values, b[key], key) {
			return
		}
	}
}

// canonical renders every sample with everything it refers to, and adds the values of equal
// samples. Samples without a value are omitted.
func canonical(p *profile.Profile) map[string][]int64 {
	rows := map[string][]int64{}
	for _, s := range p.Sample {
		var b strings.Builder
		for _, l := range s.Location {
			fmt.Fprintf(&b, "%x folded=%v", l.Address, l.IsFolded)
			if m := l.Mapping; m != nil {
				fmt.Fprintf(&b, " map=%x-%x+%x %q %q %v%v%v%v", m.Start, m.Limit, m.Offset, m.File, m.BuildID,
					m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames)
			}
			for _, line := range l.Line {
				f := line.Function
				fmt.Fprintf(&b, " %q %q %q %d:%d:%d", f.Name, f.SystemName, f.Filename, f.StartLine, line.Line, line.Column)
			}
			b.WriteString("\n")
		}
		var labels []string
		for k, v := range s.Label {
			labels = append(labels, fmt.Sprintf("%s=%q", k, v))
		}
		for k, v := range s.NumLabel {
			labels = append(labels, fmt.Sprintf("%s=%d %s", k, v, strings.Join(s.NumUnit[k], "")))
		}
		slices.Sort(labels)
		b.WriteString(strings.Join(labels, ","))
		row := rows[b.String()]
		if row == nil {
			row = make([]int64, len(p.SampleType))
		}
		for i, v := range s.Value {
			row[i] += v
		}
		rows[b.String()] = row
	}
	maps.DeleteFunc(rows, func(_ string, values []int64) bool {
		return !slices.ContainsFunc(values, func(v int64) bool { return v != 0 })
	})
	return rows
}

var sink [][]byte

// runtimeProfiles returns profiles of this process while it computes, allocates and waits
// for locks.
func runtimeProfiles(tb testing.TB) map[string][]byte {
	tb.Helper()
	runtime.SetMutexProfileFraction(1)
	runtime.SetBlockProfileRate(1)
	defer runtime.SetMutexProfileFraction(0)
	defer runtime.SetBlockProfileRate(0)

	var cpu bytes.Buffer
	require.NoError(tb, pprof.StartCPUProfile(&cpu))
	var mu sync.Mutex
	var wg sync.WaitGroup
	until := time.Now().Add(300 * time.Millisecond)
	for i := range 2 {
		wg.Go(func() {
			pprof.Do(tb.Context(), pprof.Labels("worker", fmt.Sprint(i)), func(context.Context) {
				for time.Now().Before(until) {
					mu.Lock()
					sink = append(sink[:len(sink)%100], bytes.Repeat([]byte("x"), 10_000))
					mu.Unlock()
				}
			})
		})
	}
	wg.Wait()
	pprof.StopCPUProfile()
	profiles := map[string][]byte{"cpu": cpu.Bytes()}
	for _, name := range []string{"heap", "allocs", "mutex", "block", "goroutine", "threadcreate"} {
		var b bytes.Buffer
		require.NoError(tb, pprof.Lookup(name).WriteTo(&b, 0))
		profiles[name] = b.Bytes()
	}
	return profiles
}

// randomProfile returns a valid profile that uses every field.
func randomProfile(r *rand.Rand) *profile.Profile {
	word := func() string { return []string{"", "main", "libc.so.6", "größer", "a/b c", "\x01"}[r.IntN(6)] }
	p := &profile.Profile{
		TimeNanos: r.Int64N(1 << 60), DurationNanos: r.Int64N(1 << 40), Period: r.Int64N(1 << 30),
		PeriodType: &profile.ValueType{Type: word() + "p", Unit: word()},
		DropFrames: word(), KeepFrames: word(), DocURL: word(),
	}
	for i := range 1 + r.IntN(4) {
		p.SampleType = append(p.SampleType, &profile.ValueType{Type: fmt.Sprintf("type%d", i), Unit: word()})
	}
	if r.IntN(2) == 0 {
		p.DefaultSampleType = p.SampleType[r.IntN(len(p.SampleType))].Type
	}
	for range r.IntN(3) {
		p.Comments = append(p.Comments, "#"+word())
	}
	for i := range r.IntN(4) {
		flag := func() bool { return r.IntN(2) == 0 }
		p.Mapping = append(p.Mapping, &profile.Mapping{
			ID: uint64(i + 1), Start: r.Uint64(), Limit: r.Uint64(), Offset: r.Uint64(), File: word(), BuildID: word(),
			HasFunctions: flag(), HasFilenames: flag(), HasLineNumbers: flag(), HasInlineFrames: flag(),
		})
	}
	for i := range 1 + r.IntN(5) {
		p.Function = append(p.Function, &profile.Function{
			ID: uint64(i + 1), Name: word(), SystemName: word(), Filename: word(), StartLine: r.Int64N(1000),
		})
	}
	for i := range 1 + r.IntN(8) {
		l := &profile.Location{ID: uint64(i + 1), Address: r.Uint64(), IsFolded: r.IntN(4) == 0}
		if len(p.Mapping) > 0 && r.IntN(4) > 0 {
			l.Mapping = p.Mapping[r.IntN(len(p.Mapping))]
		}
		for range r.IntN(3) {
			l.Line = append(l.Line, profile.Line{
				Function: p.Function[r.IntN(len(p.Function))], Line: r.Int64N(1000), Column: r.Int64N(100),
			})
		}
		p.Location = append(p.Location, l)
	}
	for range r.IntN(20) {
		s := &profile.Sample{}
		for range r.IntN(6) {
			s.Location = append(s.Location, p.Location[r.IntN(len(p.Location))])
		}
		for range p.SampleType {
			s.Value = append(s.Value, r.Int64N(4))
		}
		if r.IntN(2) == 0 {
			s.Label = map[string][]string{"thread": {"a" + word()}, "many": {"x", "y"}}
		}
		if r.IntN(2) == 0 {
			s.NumLabel = map[string][]int64{"bytes": {1 + r.Int64N(100)}, "sizes": {3, 4}}
			s.NumUnit = map[string][]string{"bytes": {"bytes"}, "sizes": {"kb", "kb"}}
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}
