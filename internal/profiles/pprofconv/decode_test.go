package pprofconv

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	googlev1 "github.com/grafana/pyroscope/api/gen/proto/go/google/v1"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func decode(tb testing.TB, data []byte) (*profile.Profile, Dropped) {
	tb.Helper()
	p, dropped, err := (&Decoder{}).Decode(data)
	require.NoError(tb, err)
	require.NoError(tb, p.CheckValid())
	return p, dropped
}

// written returns a profile as encoded by pprof's library, with IDs in the order of the
// tables.
func written(tb testing.TB, p *profile.Profile) []byte {
	tb.Helper()
	for i, m := range p.Mapping {
		m.ID = uint64(i + 1)
	}
	for i, f := range p.Function {
		f.ID = uint64(i + 1)
	}
	for i, l := range p.Location {
		l.ID = uint64(i + 1)
	}
	var buf bytes.Buffer
	require.NoError(tb, p.WriteUncompressed(&buf))
	return buf.Bytes()
}

// Valid messages are decoded as by pprof's own library.
func TestDecodeLikeTheLibrary(t *testing.T) {
	messages := map[string][]byte{}
	for name, data := range runtimeProfiles(t) {
		messages[name] = encode(t, parsed(t, data))
	}
	for seed := range uint64(300) {
		messages[fmt.Sprint("seed ", seed)] = encode(t, randomProfile(rand.New(rand.NewPCG(seed, 4))))
	}
	for name, data := range messages {
		want, err := profile.ParseUncompressed(data)
		require.NoError(t, err, name)
		want.Sample = slices.DeleteFunc(want.Sample, func(s *profile.Sample) bool {
			return slices.ContainsFunc(s.Value, func(v int64) bool { return v < 0 })
		})
		got, _ := decode(t, data)
		require.Equal(t, written(t, want), written(t, got), name)
	}
}

// broken returns a profile of functions a to d, each with its own location and sample.
func broken() *googlev1.Profile {
	p := &googlev1.Profile{
		StringTable: []string{"", "samples", "count", "a", "b", "c", "d", "key", "value"},
		SampleType:  []*googlev1.ValueType{{Type: 1, Unit: 2}},
		Mapping:     []*googlev1.Mapping{{Id: 1, Filename: 3}},
	}
	for i := range uint64(4) {
		p.Function = append(p.Function, &googlev1.Function{Id: i + 1, Name: int64(3 + i)})
		p.Location = append(p.Location, &googlev1.Location{Id: i + 1, MappingId: 1, Line: []*googlev1.Line{{FunctionId: i + 1}}})
		p.Sample = append(p.Sample, &googlev1.Sample{LocationId: []uint64{i + 1}, Value: []int64{int64(i + 1)}})
	}
	return p
}

// As in Pyroscope, a malformed part affects only the samples that refer to it.
func TestRepairs(t *testing.T) {
	f := func(name string, change func(p *googlev1.Profile), want string, wantDropped Dropped) {
		t.Helper()
		p := broken()
		change(p)
		data, err := p.MarshalVT()
		require.NoError(t, err)
		got, dropped := decode(t, data)
		require.Equal(t, want, summary(got), name)
		require.Equal(t, wantDropped, dropped, name)
		if want != "" {
			_, err = FromPprof(got)
			require.NoError(t, err, name)
		}
	}
	location := func(n int) Dropped { return Dropped{DroppedLocation: n} }
	f("nothing", func(*googlev1.Profile) {}, "a=1 b=2 c=3 d=4", nil)
	f("two locations of one id", func(p *googlev1.Profile) { p.Location[1].Id = 1 }, "b=1 c=3 d=4", location(1))
	f("two functions of one id", func(p *googlev1.Profile) { p.Function[1].Id = 1 }, "b=1 c=3 d=4", location(1))
	f("two mappings of one id", func(p *googlev1.Profile) { p.Mapping = append(p.Mapping, &googlev1.Mapping{Id: 1}) }, "a=1 b=2 c=3 d=4", nil)
	f("the later of two is invalid", func(p *googlev1.Profile) { p.Location[1].Id, p.Location[1].MappingId = 1, 9 }, "a=1 c=3 d=4", location(1))
	f("a location that is not there", func(p *googlev1.Profile) { p.Sample[2].LocationId[0] = 1 << 60 }, "a=1 b=2 d=4", location(1))
	f("one frame that is not there", func(p *googlev1.Profile) { p.Sample[2].LocationId = []uint64{1, 7} }, "a=1 b=2 d=4", location(1))
	f("a function that is not there", func(p *googlev1.Profile) { p.Location[0].Line[0].FunctionId = 99 }, "b=2 c=3 d=4", location(1))
	f("a line without a function", func(p *googlev1.Profile) { p.Location[0].Line[0].FunctionId = 0 }, "b=2 c=3 d=4", location(1))
	f("a mapping that is not there", func(p *googlev1.Profile) { p.Location[3].MappingId = 5 }, "a=1 b=2 c=3", location(1))
	f("no mapping", func(p *googlev1.Profile) { p.Mapping, p.Location[0].MappingId = nil, 0 }, "a=1", location(3))
	f("mapping 0", func(p *googlev1.Profile) {
		p.Mapping = append(p.Mapping, &googlev1.Mapping{})
		p.Location[3].MappingId = 0
	}, "a=1 b=2 c=3 d=4", nil)
	f("location 0", func(p *googlev1.Profile) { p.Location[0].Id, p.Sample[0].LocationId[0] = 0, 0 }, "b=2 c=3 d=4", location(1))
	f("function 0", func(p *googlev1.Profile) { p.Function[0].Id, p.Location[0].Line[0].FunctionId = 0, 0 }, "b=2 c=3 d=4", location(1))
	f("ids that are large", func(p *googlev1.Profile) {
		p.Location[0].Id, p.Sample[0].LocationId[0] = 1<<64-1, 1<<64-1
		p.Function[0].Id, p.Location[0].Line[0].FunctionId = 1<<63, 1<<63
		p.Mapping[0].Id = 1 << 40
		for _, l := range p.Location {
			l.MappingId = 1 << 40
		}
	}, "a=1 b=2 c=3 d=4", nil)
	f("too many values", func(p *googlev1.Profile) { p.Sample[1].Value = []int64{1, 2} }, "a=1 c=3 d=4", Dropped{DroppedValueCount: 1})
	f("no value", func(p *googlev1.Profile) { p.Sample[1].Value = nil }, "a=1 c=3 d=4", Dropped{DroppedValueCount: 1})
	f("a negative value", func(p *googlev1.Profile) { p.Sample[1].Value[0] = -2 }, "a=1 c=3 d=4", Dropped{DroppedNegative: 1})
	f("several", func(p *googlev1.Profile) {
		p.Sample[0].Value[0] = -1
		p.Sample[1].Value = nil
		p.Sample[2].LocationId[0] = 0
	}, "d=4", Dropped{DroppedNegative: 1, DroppedValueCount: 1, DroppedLocation: 1})
	f("a text that is not there", func(p *googlev1.Profile) { p.Function[0].Name = 99 }, "=1 b=2 c=3 d=4", nil)
	f("a text of a negative index", func(p *googlev1.Profile) { p.Function[0].Name = -1 }, "=1 b=2 c=3 d=4", nil)
	f("a label's text that is not there", func(p *googlev1.Profile) {
		p.Sample[0].Label = []*googlev1.Label{{Key: 7, Str: 99}, {Key: 99, Str: 8}}
	}, "a=1 b=2 c=3 d=4", nil)
	f("a first text that is not empty", func(p *googlev1.Profile) {
		p.StringTable[0] = "zero"
		p.Function[0].Name = 0
		p.Sample[0].Label = []*googlev1.Label{{Key: 7, Num: 5}}
	}, "zero=1 b=2 c=3 d=4", nil)
	f("no texts", func(p *googlev1.Profile) { p.StringTable = nil }, "=1 =2 =3 =4", nil)
	f("no samples", func(p *googlev1.Profile) { p.Sample = nil }, "", nil)
}

// summary returns the leaves and first values of a profile's samples.
func summary(p *profile.Profile) string {
	var all []string
	for _, s := range p.Sample {
		all = append(all, fmt.Sprintf("%s=%d", s.Location[0].Line[0].Function.Name, s.Value[0]))
	}
	return strings.Join(all, " ")
}

// kept returns the expected samples of a message after repairs, with a naive
// implementation, or an error for a malformed message.
func kept(data []byte) (samples []string, dropped Dropped, err error) {
	p := new(googlev1.Profile)
	if err := p.UnmarshalVT(data); err != nil {
		return nil, nil, err
	}
	text := func(i int64) string {
		if i < 0 || i >= int64(len(p.StringTable)) {
			return ""
		}
		return p.StringTable[i]
	}
	function := func(id uint64) *googlev1.Function {
		for _, f := range slices.Backward(p.Function) {
			if f.Id == id && id != 0 {
				return f
			}
		}
		return nil
	}
	location := func(id uint64) *googlev1.Location {
		for _, l := range slices.Backward(p.Location) {
			hasMapping := l.MappingId == 0 || slices.ContainsFunc(p.Mapping, func(m *googlev1.Mapping) bool { return m.Id == l.MappingId })
			noFunction := slices.ContainsFunc(l.Line, func(line *googlev1.Line) bool { return function(line.FunctionId) == nil })
			if l.Id == id && id != 0 && hasMapping && !noFunction {
				return l
			}
		}
		return nil
	}
	for _, s := range p.Sample {
		switch {
		case len(s.Value) != len(p.SampleType):
			dropped.add(DroppedValueCount, 1)
			continue
		case slices.ContainsFunc(s.Value, func(v int64) bool { return v < 0 }):
			dropped.add(DroppedNegative, 1)
			continue
		case slices.ContainsFunc(s.LocationId, func(id uint64) bool { return location(id) == nil }):
			dropped.add(DroppedLocation, 1)
			continue
		}
		line := fmt.Sprint(s.Value)
		for _, id := range s.LocationId {
			l := location(id)
			line += fmt.Sprintf(" %d", l.Address)
			for _, at := range l.Line {
				line += fmt.Sprintf(" %q:%d", text(function(at.FunctionId).Name), at.Line)
			}
		}
		samples = append(samples, line)
	}
	return samples, dropped, nil
}

// FuzzDecode compares the result with that of the naive implementation, and with that of
// pprof's library for valid messages.
func FuzzDecode(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(encode(f, randomProfile(rand.New(rand.NewPCG(seed, 5)))))
	}
	for _, change := range []func(p *googlev1.Profile){
		func(*googlev1.Profile) {},
		func(p *googlev1.Profile) { p.Location[1].Id, p.Function[3].Id = 1, 3 },
		func(p *googlev1.Profile) { p.Location[1].MappingId, p.Sample[0].Value[0] = 7, -1 },
		func(p *googlev1.Profile) {
			p.Sample[0].Label = []*googlev1.Label{{Key: 7, Str: 8}, {Key: 7, Num: 1, NumUnit: 2}}
		},
	} {
		p := broken()
		change(p)
		data, err := p.MarshalVT()
		require.NoError(f, err)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<14 {
			return // the naive implementation is slow
		}
		got, dropped, err := (&Decoder{Budget: NewBudget(1<<24, nil)}).Decode(data)
		want, wantDropped, wantErr := kept(data)
		if err != nil || wantErr != nil {
			// Decode accepts some malformed messages, and pprof's library others.
			isMessage := proto.Unmarshal(data, new(googlev1.Profile)) == nil
			if library, libraryErr := profile.ParseUncompressed(data); isMessage && wantErr == nil && libraryErr == nil && library.CheckValid() == nil {
				require.NoError(t, err)
			}
			return
		}
		if len(got.SampleType) == 0 {
			return // Batch refuses it
		}
		require.NoError(t, got.CheckValid())
		require.True(t, maps.Equal(wantDropped, dropped), "%v, not %v", dropped, wantDropped)
		var samples []string
		for _, s := range got.Sample {
			line := fmt.Sprint(s.Value)
			for _, l := range s.Location {
				line += fmt.Sprintf(" %d", l.Address)
				for _, at := range l.Line {
					line += fmt.Sprintf(" %q:%d", at.Function.Name, at.Line)
				}
			}
			samples = append(samples, line)
		}
		require.Equal(t, want, samples)
		library, err := profile.ParseUncompressed(data)
		if err == nil && library.CheckValid() == nil && dropped.Total() == 0 && len(got.Location) == len(library.Location) {
			require.Equal(t, written(t, library), written(t, got))
		}
	})
}

// repeated returns the same field of a message n times.
func repeated(n int, field protowire.Number, value []byte) []byte {
	one := protowire.AppendBytes(protowire.AppendTag(nil, field, protowire.BytesType), value)
	return bytes.Repeat(one, n)
}

// hostile returns messages that need much more memory than their size.
func hostile(n int) map[string][]byte {
	text := append(repeated(1, fieldStringTable, nil), repeated(1, fieldStringTable, []byte("x"))...)
	one := slices.Concat(text, repeated(1, fieldSampleType, nil))
	number := func(field protowire.Number, v uint64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.VarintType), v)
	}
	labels := repeated(n/100, fieldSampleLabel, append(number(fieldLabelKey, 1), number(fieldLabelStr, 1)...))
	distinct := []byte{}
	for i := range n / 8 {
		label := append(number(fieldLabelKey, 1), number(fieldLabelNum, uint64(i+1))...)
		sample := append(number(fieldSampleValue, 1), repeated(1, fieldSampleLabel, label)...)
		distinct = append(distinct, repeated(1, fieldSample, sample)...)
	}
	stacks := []byte{}
	for i := range n / 8 {
		sample := append(number(fieldSampleValue, 1), number(fieldSampleLoc, uint64(i+1))...)
		stacks = append(stacks, repeated(1, fieldSample, sample)...)
		stacks = append(stacks, repeated(1, fieldLocation, number(fieldLocationID, uint64(i+1)))...)
	}
	wide := append(repeated(1000, fieldSampleType, nil), repeated(n/1000, fieldSample, repeated(1, fieldSampleValue, bytes.Repeat([]byte{1}, 1000)))...)
	wideLabels := append(repeated(1000, fieldSampleType, nil), repeated(max(n/10000, 1), fieldSample,
		append(repeated(1, fieldSampleValue, bytes.Repeat([]byte{1}, 1000)), manyKeys(1000)...))...)
	keys := []byte{}
	for i := range 1001 {
		keys = append(keys, repeated(1, fieldStringTable, fmt.Append(nil, i))...)
	}
	large := append(repeated(1, fieldStringTable, nil), repeated(1, fieldStringTable, bytes.Repeat([]byte("x"), 1<<16))...)
	return map[string][]byte{
		"sample types":       repeated(n, fieldSampleType, nil),
		"samples":            append(one, repeated(n, fieldSample, []byte{fieldSampleValue << 3, 1})...),
		"mappings":           append(one, repeated(n, fieldMapping, nil)...),
		"locations":          append(one, repeated(n, fieldLocation, nil)...),
		"numbered":           append(one, stacks...),
		"functions":          append(one, repeated(n, fieldFunction, nil)...),
		"functions of text":  append(append(large, repeated(1, fieldSampleType, nil)...), repeated(n, fieldFunction, number(fieldFunctionFile, 1))...),
		"lines":              append(one, repeated(1, fieldLocation, repeated(n, fieldLocationLine, nil))...),
		"texts":              append(one, repeated(n, fieldStringTable, nil)...),
		"comments":           append(one, repeated(1, fieldComment, make([]byte, n))...),
		"single comments":    append(one, bytes.Repeat([]byte{fieldComment << 3, 1}, n)...),
		"frames":             append(one, append(repeated(1, fieldLocation, []byte{fieldLocationID << 3, 1}), repeated(1, fieldSample, append([]byte{fieldSampleValue << 3, 1}, repeated(1, fieldSampleLoc, bytes.Repeat([]byte{1}, n))...))...)...),
		"values":             append(one, repeated(1, fieldSample, repeated(1, fieldSampleValue, make([]byte, n)))...),
		"columns":            append(text, wide...),
		"columns of labels":  append(append(repeated(0, 1, nil), keys...), wideLabels...),
		"labels":             append(one, repeated(10, fieldSample, append([]byte{fieldSampleValue << 3, 1}, labels...))...),
		"labels that differ": append(one, distinct...),
		"unknown fields":     append(one, repeated(n, 99, nil)...),
	}
}

func manyKeys(n int) []byte {
	var out []byte
	for i := range n {
		label := protowire.AppendVarint(protowire.AppendTag(nil, fieldLabelKey, protowire.VarintType), uint64(i+1))
		label = protowire.AppendVarint(protowire.AppendTag(label, fieldLabelStr, protowire.VarintType), 1)
		out = append(out, repeated(1, fieldSampleLabel, label)...)
	}
	return out
}

// taken returns how many bytes f allocates, including freed ones.
func taken(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Decoding and converting a message allocate about as much as is accounted for, and little
// more than the limit if the message is refused.
func TestBudget(t *testing.T) {
	convert := func(data []byte, budget *Budget) error {
		p, _, err := (&Decoder{Budget: budget}).Decode(data)
		if err == nil {
			_, err = NewBatch(budget).Add(p)
		}
		return err
	}
	for name, data := range hostile(100_000) {
		budget := NewBudget(1<<50, nil)
		got := taken(func() { _ = convert(data, budget) })
		t.Logf("%-20s %5d KiB: %8d KiB taken, %8d KiB counted", name, len(data)>>10, got>>10, budget.Used()>>10)
		require.LessOrEqual(t, got, budget.Used()*5/4+1<<20, name)

		const limit = 1 << 20
		budget = NewBudget(limit, nil)
		got = taken(func() {
			err := convert(data, budget)
			if name != "unknown fields" && name != "labels" && name != "values" && name != "functions of text" {
				require.ErrorIs(t, err, ErrTooLarge, name)
			}
		})
		require.LessOrEqual(t, got, int64(2*limit), name)
	}
	for name, data := range runtimeProfiles(t) {
		message := encode(t, parsed(t, data))
		budget := NewBudget(1<<50, nil)
		got := taken(func() { require.NoError(t, convert(message, budget)) })
		t.Logf("%-20s %5d B: %8d B taken, %8d B counted, %.1f times", name, len(message), got, budget.Used(), float64(budget.Used())/float64(len(message)))
	}
}

func TestPool(t *testing.T) {
	pool := NewPool(2 * reserveStep)
	first, second := NewBudget(1<<30, pool), NewBudget(1<<30, pool)
	require.NoError(t, first.Take(1))
	require.NoError(t, second.Take(reserveStep))
	require.ErrorIs(t, second.Take(1), ErrBusy)
	require.NoError(t, first.Take(reserveStep-1))
	require.ErrorIs(t, first.Take(1), ErrBusy)
	second.Return(0)
	require.NoError(t, second.Take(reserveStep), "what it has reserved")
	first.Close()
	require.NoError(t, second.Take(1))
	second.Close()
	require.Zero(t, pool.used.Load())

	small := NewBudget(10, nil)
	require.ErrorIs(t, small.Take(11), ErrTooLarge)
	require.ErrorIs(t, small.Take(-1), ErrTooLarge)
	require.NoError(t, small.Take(10))
	require.ErrorIs(t, small.Take(1), ErrTooLarge)
	for range totalPerLimit - 1 {
		small.Return(0)
		require.NoError(t, small.Take(10))
	}
	small.Return(0)
	require.ErrorContains(t, small.Take(1), "reading all of it takes more than 40 bytes of memory")
}

func BenchmarkDecode(b *testing.B) {
	data := encode(b, benchProfile())
	b.SetBytes(int64(len(data)))
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := profile.ParseUncompressed(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decoder", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := (&Decoder{}).Decode(data); err != nil {
				b.Fatal(err)
			}
		}
	})
}
