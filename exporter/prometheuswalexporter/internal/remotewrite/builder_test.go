package remotewrite

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// input are items with the series table they refer to.
type input struct {
	table  *series.Table
	items  []Item
	extras []Extra
}

func (in *input) extra(n uint32) *Extra { return &in.extras[n-1] }

// lines returns the items as text, in the format of decode.
func (in *input) lines(m Message) []string {
	view := in.table.View()
	defer view.Close()
	var out []string
	for _, it := range in.items {
		var b labels.ScratchBuilder
		for _, p := range view.Pairs(it.Slot) {
			name, value := view.Pair(p)
			b.Add(view.Symbol(name), view.Symbol(value))
		}
		var x Extra
		if it.Extra != 0 {
			x = *in.extra(it.Extra)
		}
		line := b.Labels().String()
		if x.Histogram != nil {
			line += fmt.Sprintf(" hist %x", x.Histogram)
		} else {
			start := x.Start
			if m == V1 {
				start = 0
			}
			line += fmt.Sprintf(" %d %d %x", it.T, start, math.Float64bits(it.V))
		}
		for _, e := range x.Exemplars {
			line += fmt.Sprintf(" ex %d %x %v", e.T, math.Float64bits(e.V), e.Labels)
		}
		if f := view.Entry(it.Slot).Family; f != 0 && m == V2 {
			typ, _, help, unit := view.Family(f)
			line += fmt.Sprintf(" meta %d %q %q", typ, view.Symbol(help), view.Symbol(unit))
		}
		out = append(out, line)
	}
	return out
}

// decode decodes a request with Prometheus' generated code.
func decode(t testing.TB, m Message, body []byte) []string {
	t.Helper()
	plain, err := s2.Decode(nil, body)
	require.NoError(t, err)
	if m == V1 {
		return decodeV1(t, plain)
	}
	var req writev2.Request
	require.NoError(t, req.Unmarshal(plain))
	require.Empty(t, req.Symbols[0])
	seen := map[string]bool{}
	var out []string
	sym := req.Symbols
	for _, s := range sym {
		require.False(t, seen[s] && s != "", "symbol %q twice", s)
		seen[s] = true
	}
	for _, ts := range req.Timeseries {
		b := labels.NewScratchBuilder(0)
		ls, err := ts.ToLabels(&b, sym)
		require.NoError(t, err)
		line := ls.String()
		for _, h := range ts.Histograms {
			raw, err := h.Marshal()
			require.NoError(t, err)
			line += fmt.Sprintf(" hist %x", raw)
		}
		for _, p := range ts.Samples {
			line += fmt.Sprintf(" %d %d %x", p.Timestamp, p.StartTimestamp, math.Float64bits(p.Value))
		}
		for _, e := range ts.Exemplars {
			var pairs []walrecord.Label
			for i := 0; i < len(e.LabelsRefs); i += 2 {
				pairs = append(pairs, walrecord.Label{Name: sym[e.LabelsRefs[i]], Value: sym[e.LabelsRefs[i+1]]})
			}
			line += fmt.Sprintf(" ex %d %x %v", e.Timestamp, math.Float64bits(e.Value), pairs)
		}
		if meta := ts.Metadata; meta.Type != 0 || meta.HelpRef != 0 || meta.UnitRef != 0 {
			line += fmt.Sprintf(" meta %d %q %q", meta.Type, sym[meta.HelpRef], sym[meta.UnitRef])
		}
		out = append(out, line)
	}
	return out
}

func decodeV1(t testing.TB, plain []byte) []string {
	t.Helper()
	var req prompb.WriteRequest
	require.NoError(t, req.Unmarshal(plain))
	var out []string
	for _, ts := range req.Timeseries {
		var b labels.ScratchBuilder
		line := ts.ToLabels(&b, nil).String()
		for _, h := range ts.Histograms {
			raw, err := h.Marshal()
			require.NoError(t, err)
			line += fmt.Sprintf(" hist %x", raw)
		}
		for _, p := range ts.Samples {
			line += fmt.Sprintf(" %d 0 %x", p.Timestamp, math.Float64bits(p.Value))
		}
		for _, e := range ts.Exemplars {
			var pairs []walrecord.Label
			for _, l := range e.Labels {
				pairs = append(pairs, walrecord.Label{Name: l.Name, Value: l.Value})
			}
			line += fmt.Sprintf(" ex %d %x %v", e.Timestamp, math.Float64bits(e.Value), pairs)
		}
		out = append(out, line)
	}
	return out
}

// random generates items from arbitrary bytes. Their requests must decode to the
// same items.
func random(data []byte) *input {
	in := &input{table: series.NewTable(time.Now())}
	next := func() uint64 {
		var b [8]byte
		n := copy(b[:], data)
		data = data[min(n, 3):]
		return binary.LittleEndian.Uint64(b[:])
	}
	str := func() string {
		n := int(next() % 12)
		s := string(data[:min(n, len(data))])
		data = data[len(s):]
		return s
	}
	for len(data) > 0 && len(in.items) < 200 {
		b := labels.NewBuilder(labels.FromStrings("__name__", "m"))
		for range next() % 5 {
			b.Set("l"+str(), str())
		}
		slot := in.table.Intern(b.Labels(), false, 1).Slot()
		it := Item{Slot: slot, T: int64(next()), V: math.Float64frombits(next())}
		kind := next()
		if kind&1 != 0 {
			in.table.Entry(slot).Family = in.table.InternFamily(series.Family{
				Type: uint8(kind >> 8 % 8), Name: str(), Help: "h" + str(), Unit: str(),
			}, 1)
		}
		if kind&6 != 0 {
			var x Extra
			if kind&2 != 0 {
				x.Start = int64(next())
			}
			if kind&4 != 0 {
				x.Exemplars = []walrecord.Exemplar{{T: int64(next()), V: math.Float64frombits(next()), Labels: []walrecord.Label{{Name: "e" + str(), Value: str()}, {Name: str()}}}}
			}
			if kind&8 != 0 {
				h := writev2.Histogram{Sum: float64(next()), Timestamp: it.T, Schema: int32(next())}
				x.Histogram, _ = h.Marshal()
			}
			in.extras = append(in.extras, x)
			it.Extra = uint32(len(in.extras))
		}
		in.items = append(in.items, it)
	}
	return in
}

func roundTrip(t testing.TB, in *input) {
	t.Helper()
	b := NewBuilder()
	half := len(in.items) / 2
	for range 2 { // the second request uses what the first left in the builder
		for _, m := range []Message{V1, V2} {
			view := in.table.View()
			body, counts := b.Build(nil, m, view, [2][]Item{in.items[:half], in.items[half:]}, in.extra)
			view.Close()
			require.Equal(t, in.lines(m), decode(t, m, body))
			require.Equal(t, len(in.items), counts.Samples+counts.Histograms)
		}
	}
}

func FuzzBuild(f *testing.F) {
	f.Add([]byte("abc"))
	f.Add([]byte("\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"))
	seed := make([]byte, 0, 4000)
	for i := range 1000 {
		seed = binary.LittleEndian.AppendUint32(seed, uint32(i)*2654435761)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := random(data)
		if len(in.items) > 0 {
			roundTrip(t, in)
		}
	})
}

// The request counter overflows after 2^32 requests. Entries of the first requests
// must not be taken for those of new ones.
func TestRequestNumberWraps(t *testing.T) {
	in := random([]byte("some bytes that make a few series and their labels, 0123456789 0123456789"))
	b := NewBuilder()
	view := in.table.View()
	defer view.Close()
	body, _ := b.Build(nil, V2, view, [2][]Item{in.items, nil}, in.extra)
	want := decode(t, V2, body)
	b.request = math.MaxUint32
	body, _ = b.Build(nil, V2, view, [2][]Item{in.items, nil}, in.extra)
	require.Equal(t, want, decode(t, V2, body))
	require.Equal(t, uint32(1), b.request)
}

func TestMetadataV1(t *testing.T) {
	table := series.NewTable(time.Now())
	for i := range 5 {
		table.InternFamily(series.Family{Type: 2, Name: fmt.Sprint("f", i), Help: "help"}, 1)
	}
	table.InternFamily(series.Family{Type: 1, Help: "no name"}, 1)
	view := table.View()
	defer view.Close()
	plain, err := s2.Decode(nil, NewBuilder().MetadataV1(view.Families()))
	require.NoError(t, err)
	var req prompb.WriteRequest
	require.NoError(t, req.Unmarshal(plain))
	got := map[string]string{}
	for _, m := range req.Metadata {
		require.Equal(t, prompb.MetricMetadata_GAUGE, m.Type)
		got[m.MetricFamilyName] = m.Help
	}
	require.Len(t, got, 5)
	require.Equal(t, "help", got["f3"])
}

// benchInput resembles the part of a request from one scrape: n series of ten
// labels.
func benchInput(n int) *input {
	in := &input{table: series.NewTable(time.Now())}
	for i := range n {
		ls := labels.FromStrings("__name__", fmt.Sprint("http_requests_total_", i%40), "code", fmt.Sprint(200+i%5),
			"handler", fmt.Sprint("/api/v1/", i%50), "instance", fmt.Sprint("10.0.0.", i/2000, ":9100"), "job", "node",
			"method", "GET", "namespace", "default", "pod", fmt.Sprint("pod-", i/2000), "zone", "a", "n", fmt.Sprint(i))
		slot := in.table.Intern(ls, false, 1).Slot()
		in.table.Entry(slot).Family = in.table.InternFamily(series.Family{Type: 1, Name: fmt.Sprint(i % 40), Help: fmt.Sprint("Help ", i%40)}, 1)
		in.items = append(in.items, Item{Slot: slot, T: 1_700_000_000_000, V: float64(i * 17)})
	}
	return in
}

func BenchmarkBuild(b *testing.B) {
	const n = 5000
	in := benchInput(n)
	for _, m := range []Message{V1, V2} {
		b.Run(string(m), func(b *testing.B) {
			builder := NewBuilder()
			var body []byte
			b.ReportAllocs()
			for b.Loop() {
				view := in.table.View()
				body, _ = builder.Build(body[:0], m, view, [2][]Item{in.items, nil}, in.extra)
				view.Close()
			}
			b.ReportMetric(float64(len(body))/n, "B/sample")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
}
