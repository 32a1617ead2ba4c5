package pprofconv

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"

	"github.com/invar-otel/invar/internal/profiles/profiledict"
)

// sampled returns profiles as an eBPF profiler reports them: counts of samples, one profile
// per process, one dictionary.
func sampled(t *testing.T, dst pprofile.Profiles, b *profiledict.Builder, stacks map[string]int, attributes ...int32) pprofile.Profile {
	t.Helper()
	p := dst.ResourceProfiles().AppendEmpty().ScopeProfiles().AppendEmpty().Profiles().AppendEmpty()
	p.SampleType().SetTypeStrindex(b.String("samples"))
	p.SampleType().SetUnitStrindex(b.String("count"))
	p.PeriodType().SetTypeStrindex(b.String("cpu"))
	p.PeriodType().SetUnitStrindex(b.String("nanoseconds"))
	p.SetPeriod(10_000_000)
	p.SetTime(1000)
	p.SetDurationNano(500)
	for name, count := range stacks {
		f := b.Dict.FunctionTable().AppendEmpty()
		f.SetNameStrindex(b.String(name))
		l := b.Dict.LocationTable().AppendEmpty()
		l.Lines().AppendEmpty().SetFunctionIndex(int32(b.Dict.FunctionTable().Len() - 1))
		s := p.Samples().AppendEmpty()
		s.SetStackIndex(b.Stack([]int32{int32(b.Dict.LocationTable().Len() - 1)}))
		for i := range count { // one timestamp each, no values
			s.TimestampsUnixNano().Append(uint64(i + 1))
		}
		s.AttributeIndices().Append(attributes...)
	}
	return p
}

func message(t *testing.T, profiles pprofile.Profiles, opts Options) *profile.Profile {
	t.Helper()
	var m *Message
	for _, rp := range profiles.ResourceProfiles().All() {
		for _, p := range rp.ScopeProfiles().At(0).Profiles().All() {
			if m == nil {
				kind, err := KindOf(profiles.Dictionary(), p)
				require.NoError(t, err)
				m = NewMessage(profiles.Dictionary(), kind, opts)
			}
			_, err := m.Add(p)
			require.NoError(t, err)
		}
	}
	read, err := profile.ParseUncompressed(m.Append([]byte{}))
	require.NoError(t, err)
	require.NoError(t, read.CheckValid())
	return read
}

func TestCPUTime(t *testing.T) {
	profiles := pprofile.NewProfiles()
	sampled(t, profiles, profiledict.New(profiles), map[string]int{"work": 3})
	p := message(t, profiles, Options{CPUTime: true})
	require.Len(t, p.SampleType, 2)
	assert.Equal(t, "samples", p.SampleType[0].Type)
	assert.Equal(t, &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, p.SampleType[1])
	assert.Equal(t, []int64{3, 30_000_000}, p.Sample[0].Value)
	assert.Equal(t, int64(1000), p.TimeNanos)
	assert.Equal(t, int64(500), p.DurationNanos)

	assert.Len(t, message(t, profiles, Options{}).SampleType, 1)
}

func TestRowsOfSeveralProcesses(t *testing.T) {
	profiles := pprofile.NewProfiles()
	b := profiledict.New(profiles)
	first := sampled(t, profiles, b, map[string]int{"work": 2}, b.IntAttribute("thread.id", 1, ""))
	second := sampled(t, profiles, b, nil, 0)
	second.SetTime(400)
	s := second.Samples().AppendEmpty()
	s.SetStackIndex(first.Samples().At(0).StackIndex())
	s.Values().Append(5)
	s.AttributeIndices().Append(b.IntAttribute("thread.id", 2, ""))

	p := message(t, profiles, Options{DropAttribute: func(key string) bool { return key == "thread.id" }})
	require.Len(t, p.Sample, 1)
	assert.Equal(t, []int64{7}, p.Sample[0].Value)
	assert.Equal(t, int64(400), p.TimeNanos)
	assert.Equal(t, int64(1100), p.DurationNanos)

	p = message(t, profiles, Options{})
	require.Len(t, p.Sample, 2)
	assert.Equal(t, map[string][]int64{"thread.id": {1}}, p.Sample[0].NumLabel)
}

func TestSpanLink(t *testing.T) {
	profiles := pprofile.NewProfiles()
	b := profiledict.New(profiles)
	p := sampled(t, profiles, b, map[string]int{"work": 1})
	link := b.Dict.LinkTable().AppendEmpty()
	link.SetSpanID(pcommon.SpanID{0xab, 1})
	link.SetTraceID(pcommon.TraceID{0xcd, 2})
	p.Samples().At(0).SetLinkIndex(1)
	assert.Equal(t, map[string][]string{
		"span_id": {"ab01000000000000"}, "trace_id": {"cd020000000000000000000000000000"},
	}, message(t, profiles, Options{}).Sample[0].Label)
	assert.Equal(t, map[string][]string{"span_id": {"ab01000000000000"}},
		message(t, profiles, Options{DropAttribute: func(key string) bool { return key == "trace_id" }}).Sample[0].Label)
}

func TestInvalidUTF8(t *testing.T) {
	profiles := pprofile.NewProfiles()
	sampled(t, profiles, profiledict.New(profiles), map[string]int{"a\xffb": 1})
	assert.Equal(t, "a\uFFFDb", message(t, profiles, Options{}).Function[0].Name)
}

func TestBuildID(t *testing.T) {
	for _, tt := range []struct {
		name  string
		attrs map[string]string
		want  string
	}{
		{"GNU first", map[string]string{AttrBuildIDGo: "go", AttrBuildIDGNU: "gnu", AttrBuildIDHash: "hash"}, "gnu"},
		{"Go", map[string]string{AttrBuildIDGo: "go", AttrBuildIDHash: "hash"}, "go"},
		{"hash", map[string]string{AttrBuildIDHash: "hash"}, "hash"},
		{"none", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			profiles := pprofile.NewProfiles()
			b := profiledict.New(profiles)
			sampled(t, profiles, b, map[string]int{"work": 1})
			m := b.Dict.MappingTable().AppendEmpty()
			for k, v := range tt.attrs {
				m.AttributeIndices().Append(b.StringAttribute(k, v))
			}
			b.Dict.LocationTable().At(1).SetMappingIndex(1)
			got := message(t, profiles, Options{}).Mapping[0]
			assert.Equal(t, tt.want, got.BuildID)
			assert.True(t, got.HasFunctions, "a location of it has a function")
			assert.False(t, got.HasLineNumbers)
		})
	}
}

func TestNames(t *testing.T) {
	f := func(want string, types ...string) {
		t.Helper()
		profiles := pprofile.NewProfiles()
		b := profiledict.New(profiles)
		sp := profiles.ResourceProfiles().AppendEmpty().ScopeProfiles().AppendEmpty()
		for _, typ := range types {
			typ, period, _ := strings.Cut(typ, "/")
			p := sp.Profiles().AppendEmpty()
			p.SampleType().SetTypeStrindex(b.String(typ))
			p.PeriodType().SetTypeStrindex(b.String(period))
		}
		names := Names(b.Dict, sp)
		assert.Equal(t, want, strings.Join(names, " "))
		if len(types) > 0 {
			assert.Equal(t, names[0], Name(b.Dict, sp))
		} else {
			assert.Equal(t, "unknown", Name(b.Dict, sp))
		}
		SetName(sp, "mine")
		assert.Equal(t, "mine", Name(b.Dict, sp))
		for _, name := range Names(b.Dict, sp) {
			assert.Equal(t, "mine", name)
		}
	}
	f("process_cpu process_cpu", "samples/cpu", "cpu/cpu")
	f("process_cpu", "samples/cpu")
	f("samples", "samples/")
	f("memory memory", "alloc_objects/space", "inuse_space/space")
	f("goroutine", "goroutine/goroutine")
	f("goroutine", "goroutines/")
	f("block block", "contentions/contentions", "delay/contentions")
	f("mutex mutex", "contentions/mutex", "delay/mutex")
	f("off_cpu", "off_cpu/")
	f("")
	// Several kinds in one scope.
	f("process_cpu off_cpu", "samples/cpu", "off_cpu/")
	f("off_cpu process_cpu", "off_cpu/", "samples/cpu")
	f("process_cpu off_cpu process_cpu", "samples/", "off_cpu/", "cpu/")
	f("process_cpu off_cpu memory goroutine block wall", "cpu/", "off_cpu/", "inuse_space/", "goroutine/", "delay/", "wall/")
	f("wall wall", "samples/", "wall/")
	f("samples samples", "samples/wallclock", "time/wallclock")
	f("process_cpu objects objects", "cpu/cpu", "objects/space", "space/space")
	f("unknown", "/")
}

func TestBrokenIndices(t *testing.T) {
	for name, spoil := range map[string]func(*profiledict.Builder, pprofile.Profile){
		"string":    func(_ *profiledict.Builder, p pprofile.Profile) { p.SampleType().SetTypeStrindex(99) },
		"stack":     func(_ *profiledict.Builder, p pprofile.Profile) { p.Samples().At(0).SetStackIndex(-1) },
		"link":      func(_ *profiledict.Builder, p pprofile.Profile) { p.Samples().At(0).SetLinkIndex(99) },
		"attribute": func(_ *profiledict.Builder, p pprofile.Profile) { p.Samples().At(0).AttributeIndices().Append(99) },
		"location": func(b *profiledict.Builder, _ pprofile.Profile) {
			b.Dict.StackTable().At(1).LocationIndices().SetAt(0, 99)
		},
		"mapping": func(b *profiledict.Builder, _ pprofile.Profile) { b.Dict.LocationTable().At(1).SetMappingIndex(99) },
		"function": func(b *profiledict.Builder, _ pprofile.Profile) {
			b.Dict.LocationTable().At(1).Lines().At(0).SetFunctionIndex(99)
		},
	} {
		t.Run(name, func(t *testing.T) {
			profiles := pprofile.NewProfiles()
			b := profiledict.New(profiles)
			p := sampled(t, profiles, b, map[string]int{"work": 1})
			spoil(b, p)
			m := NewMessage(b.Dict, Kind{}, Options{})
			_, err := m.Add(p)
			require.ErrorContains(t, err, "outside of the "+name+" table")
			assert.Zero(t, m.Samples())
		})
	}
	profiles := pprofile.NewProfiles()
	p := sampled(t, profiles, profiledict.New(profiles), nil)
	p.PeriodType().SetUnitStrindex(1000)
	_, err := KindOf(profiles.Dictionary(), p)
	require.ErrorContains(t, err, "string table")
}

func TestFromPprofRefuses(t *testing.T) {
	_, err := FromPprof(&profile.Profile{})
	require.ErrorContains(t, err, "no sample type")
	_, err = FromPprof(&profile.Profile{
		SampleType: []*profile.ValueType{{Type: "cpu"}},
		Sample:     []*profile.Sample{{Value: []int64{1, 2}}},
	})
	require.Error(t, err)
}

// A sample with a negative value does not reduce those with the same stack, and sums
// saturate.
func TestValues(t *testing.T) {
	f := func(values [][]int64, want, wantCPU int64, wantNegative int) {
		t.Helper()
		profiles := pprofile.NewProfiles()
		p := sampled(t, profiles, profiledict.New(profiles), map[string]int{"work": 0})
		first := p.Samples().At(0)
		for range values[1:] {
			first.CopyTo(p.Samples().AppendEmpty())
		}
		for i, v := range values {
			p.Samples().At(i).Values().FromRaw(v)
		}
		kind, err := KindOf(profiles.Dictionary(), p)
		require.NoError(t, err)
		m := NewMessage(profiles.Dictionary(), kind, Options{CPUTime: true})
		negative, err := m.Add(p)
		require.NoError(t, err)
		require.Equal(t, wantNegative, negative)
		read, err := profile.ParseUncompressed(m.Append(nil))
		require.NoError(t, err)
		if want == 0 {
			require.Empty(t, read.Sample)
			return
		}
		require.Len(t, read.Sample, 1)
		require.Equal(t, []int64{want, wantCPU}, read.Sample[0].Value)
	}
	const ms = 1_000_000
	f([][]int64{{5}, {-3}}, 5, 50*ms, 1)
	f([][]int64{{-3}, {5}}, 5, 50*ms, 1)
	f([][]int64{{-5}, {5}}, 5, 50*ms, 1)
	f([][]int64{{10, -3}, {5}}, 5, 50*ms, 1)
	f([][]int64{{-1}, {math.MinInt64}}, 0, 0, 2)
	f([][]int64{{math.MaxInt64}, {math.MaxInt64}, {1, math.MaxInt64}}, math.MaxInt64, math.MaxInt64, 0)
	f([][]int64{{1 << 60}}, 1<<60, math.MaxInt64, 0)
}

// Every sample type has a value for each stack, also those of other sample types, so the
// number of values is limited.
func TestMessageLimit(t *testing.T) {
	profiles := pprofile.NewProfiles()
	b := profiledict.New(profiles)
	m := NewMessage(b.Dict, Kind{}, Options{})
	sp := profiles.ResourceProfiles().AppendEmpty().ScopeProfiles().AppendEmpty()
	var err error
	n := 0
	for ; err == nil && n < 10_000; n++ {
		p := sp.Profiles().AppendEmpty()
		p.SampleType().SetTypeStrindex(b.String(fmt.Sprint("type", n)))
		for range 10 {
			s := p.Samples().AppendEmpty()
			s.AttributeIndices().Append(b.IntAttribute("id", int64(b.Dict.AttributeTable().Len()), ""))
			s.Values().Append(1)
		}
		_, err = m.Add(p)
	}
	require.ErrorIs(t, err, ErrTooLarge)
	require.Less(t, n, 2000)
	require.LessOrEqual(t, m.Samples()*len(m.columns), maxCells)
	require.LessOrEqual(t, int64(len(m.Append(nil))), 4*m.Weight())
}

// A message has a copy of the stack for each row.
func TestMessageWeight(t *testing.T) {
	profiles := pprofile.NewProfiles()
	b := profiledict.New(profiles)
	p := profiles.ResourceProfiles().AppendEmpty().ScopeProfiles().AppendEmpty().Profiles().AppendEmpty()
	b.Dict.LocationTable().AppendEmpty()
	stack := b.Stack(slices.Repeat([]int32{1}, 10_000))
	list, values := b.SliceAttribute("list", "")
	for i := range 100 {
		values.AppendEmpty().SetInt(int64(i))
	}
	for i := range 1000 {
		s := p.Samples().AppendEmpty()
		s.SetStackIndex(stack)
		s.Values().Append(1)
		s.AttributeIndices().Append(list, b.IntAttribute("id", int64(i), ""))
	}
	m := NewMessage(b.Dict, Kind{}, Options{})
	_, err := m.Add(p)
	require.NoError(t, err)
	got := int64(len(m.Append(nil)))
	require.Greater(t, m.Weight(), got/2)
	require.Less(t, m.Weight(), 4*got)
}
