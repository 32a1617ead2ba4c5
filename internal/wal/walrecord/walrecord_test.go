package walrecord

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden record")

// logHandler is a Handler that writes a line for each call.
type logHandler struct {
	Dictionary
	lines []string
}

func (h *logHandler) note(format string, args ...any) {
	h.lines = append(h.lines, fmt.Sprintf(format, args...))
}

func (h *logHandler) Symbol(n uint64, s []byte) {
	h.Dictionary.Symbol(n, s)
	h.note("symbol %d %q", n, s)
}

func (h *logHandler) Pair(n, name, value uint64) {
	h.Dictionary.Pair(n, name, value)
	h.note("pair %d = %d %d", n, name, value)
}

func (h *logHandler) Family(n uint64, typ byte, name, help, unit uint64) {
	h.Dictionary.Family(n, typ, name, help, unit)
	f, ok := h.LookupFamily(n)
	h.note("family %d = %d %q %q %q %v", n, typ, f.Name, f.Help, f.Unit, ok)
}

func (h *logHandler) Series(n, family uint64, pairs []uint64) {
	ls, ok := h.Labels(nil, pairs)
	_, known := h.LookupFamily(family)
	h.note("series %d family %v = %v %v", n, known, ls, ok)
}

func (h *logHandler) Sample(s *Sample) {
	v := fmt.Sprint(s.V)
	if value.IsStaleNaN(s.V) {
		v = "stale"
	}
	h.note("sample %d at %d from %d = %s hist %x exemplars %v", s.Series, s.T, s.Start, v, s.Histogram, s.Exemplars)
}

func example() *Encoder {
	e := &Encoder{}
	e.Begin(1_700_000_000_000, Numbers{Symbols: 2, Pairs: 1, Families: 0, Series: 5})
	name, up, job, a, empty := e.Symbol("__name__"), e.Symbol("up"), e.Symbol("job"), e.Symbol("ä"), e.Symbol("")
	f := e.Family(2, up, a, empty)
	p, q := e.Pair(name, up), e.Pair(job, a)
	s := e.BeginSeries(f, 2)
	e.SeriesPair(p)
	e.SeriesPair(q)
	bare := e.BeginSeries(NoFamily, 1)
	e.SeriesPair(p)
	const t = 1_700_000_000_000
	e.Value(s, t, 1)
	e.Value(bare, t, 2.5)
	e.Value(s, t+15, math.Float64frombits(value.StaleNaN))
	e.Value(s, t-15, math.Inf(-1))
	e.Value(s, t, math.Copysign(0, -1))
	e.Value(s, t, 1<<53)
	e.Value(s, t, -(1<<53 - 1))
	e.Value(3, t, 0)
	e.Sample(&Sample{Series: bare, T: t, Start: t - 1000, V: 7})
	e.Sample(&Sample{Series: s, T: t, Histogram: []byte{1, 2, 3}})
	e.Sample(&Sample{Series: s, T: t, V: 1, Exemplars: []Exemplar{
		{T: t - 5, V: .5, Labels: []Label{{"trace_id", "abc"}, {"", ""}}}, {T: t, V: 2},
	}})
	return e
}

// The golden record pins the format: a log written by one version is read by
// the next.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "record.golden")
	record := example().Record()
	if *update {
		require.NoError(t, os.WriteFile(path, record, 0o644))
	}
	golden, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, golden, record)

	var h logHandler
	require.NoError(t, Decode(golden, &h))
	text, err := json.MarshalIndent(h.lines, "", " ")
	require.NoError(t, err)
	path += ".json"
	if *update {
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(text))
}

func TestNumbersContinue(t *testing.T) {
	e := example()
	require.Equal(t, Numbers{Symbols: 7, Pairs: 3, Families: 1, Series: 7}, e.Numbers())
	require.Equal(t, 11, e.Samples())
	e.Begin(0, e.Numbers())
	require.Equal(t, uint64(7), e.Symbol("x"))
	require.Zero(t, e.Samples())
}

// Decode returns an error for a record that is truncated anywhere in its
// definitions, never panics, and decodes nothing that the whole record does not
// hold.
func TestTruncatedRecord(t *testing.T) {
	record := example().Record()
	var whole logHandler
	require.NoError(t, Decode(record, &whole))
	bare := len(record) - len(example().samples)
	for n := range record {
		var h logHandler
		err := Decode(record[:n], &h)
		if n < bare {
			require.Error(t, err, n)
		}
		require.Equal(t, append([]string{}, whole.lines[:len(h.lines)]...), append([]string{}, h.lines...), n)
	}
}

func TestUnknownDefinitions(t *testing.T) {
	var d Dictionary
	d.Symbol(3, []byte("a"))
	d.Pair(0, 3, 3)
	d.Pair(1, 3, 2) // symbol 2 was lost
	_, ok := d.Labels(nil, []uint64{0})
	require.True(t, ok)
	for _, pairs := range [][]uint64{{1}, {0, 1}, {2}, {math.MaxUint64}} {
		_, ok := d.Labels(nil, pairs)
		require.False(t, ok, pairs)
	}
	d.Family(1, 1, 3, 3, 9)
	for _, f := range []uint64{0, 1, 2, NoFamily} {
		_, ok := d.LookupFamily(f)
		require.False(t, ok, f)
	}
	d.Symbol(maxNumber, []byte("b"))
	d.Symbol(1<<25, []byte("b"))
	require.Len(t, d.symbols, 4, "numbers no segment has")
	d.Reset()
	_, ok = d.Labels(nil, []uint64{0})
	require.False(t, ok)
}

// FuzzDecode decodes arbitrary bytes. Samples that decode are encoded again, and
// decode to the same.
func FuzzDecode(f *testing.F) {
	f.Add(example().Record())
	f.Add([]byte{})
	f.Add([]byte{format, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x'})
	f.Add([]byte{format, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1})
	f.Fuzz(func(t *testing.T, record []byte) {
		var h logHandler
		if Decode(record, &h) != nil {
			return
		}
		reencoded := encoder{}
		reencoded.Begin(0, Numbers{})
		if err := Decode(record, &reencoded); err != nil {
			t.Fatal(err)
		}
		var want, got logHandler
		onlySamples(t, record, &want)
		onlySamples(t, reencoded.Record(), &got)
		if fmt.Sprint(want.lines) != fmt.Sprint(got.lines) {
			t.Fatalf("%v\nis not\n%v", got.lines, want.lines)
		}
	})
}

func onlySamples(t *testing.T, record []byte, h *logHandler) {
	var all logHandler
	if err := Decode(record, &all); err != nil {
		t.Fatal(err)
	}
	for _, l := range all.lines {
		if len(l) > 6 && l[:6] == "sample" {
			h.lines = append(h.lines, l)
		}
	}
}

// encoder is a Handler that encodes the samples it is given.
type encoder struct{ Encoder }

func (*encoder) Symbol(uint64, []byte)                       {}
func (*encoder) Pair(uint64, uint64, uint64)                 {}
func (*encoder) Family(uint64, byte, uint64, uint64, uint64) {}
func (*encoder) Series(uint64, uint64, []uint64)             {}
func (e *encoder) Sample(s *Sample)                          { e.Encoder.Sample(s) }

func BenchmarkEncode(b *testing.B) {
	for _, kind := range []string{"int", "float"} {
		b.Run(kind, func(b *testing.B) {
			var e Encoder
			b.ReportAllocs()
			for b.Loop() {
				e.Begin(1_700_000_000_000, Numbers{})
				for i := range uint64(2000) {
					v := float64(i * 1000)
					if kind == "float" {
						v += .1
					}
					e.Value(i, 1_700_000_000_000, v)
				}
				_ = e.Record()
			}
			b.ReportMetric(float64(len(e.out))/2000, "B/sample")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/sample")
		})
	}
}

// sink is a Handler that ignores everything.
type sink struct{ encoder }

func (*sink) Sample(*Sample) {}

func BenchmarkDecode(b *testing.B) {
	var e Encoder
	e.Begin(1_700_000_000_000, Numbers{})
	for i := range uint64(2000) {
		e.Value(i, 1_700_000_000_000, float64(i*1000))
	}
	record := e.Record()
	h := &sink{}
	b.ReportAllocs()
	for b.Loop() {
		if err := Decode(record, h); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/2000, "ns/sample")
}
