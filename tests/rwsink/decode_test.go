package rwsink

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// everything has every kind of content.
var everything = []sent{
	{
		labels:    []string{nameLabel, "http_requests_total", "code", "200", "method", "GET"},
		samples:   []Sample{{T: 1000, V: 1}, {T: 2000, V: math.Pi}, {T: 3000, V: math.Float64frombits(staleBits)}},
		exemplars: []Exemplar{{Labels: Labels{{"trace_id", "abc"}}, T: 1500, V: 0.25}},
		meta:      Metadata{Type: Counter, Help: "Requests.", Unit: "requests"},
	},
	{
		labels: []string{nameLabel, "latency_seconds"},
		histograms: []Histogram{
			{
				T: 1000, Count: 1 << 60, ZeroCount: 2, Sum: 18.4, Schema: -3, ZeroThreshold: 1e-128, ResetHint: 2,
				Positive: Buckets{Spans: []Span{{0, 2}, {-1, 2}}, Deltas: []int64{1, 1, -1, 0}},
				Negative: Buckets{Spans: []Span{{3, 1}}, Deltas: []int64{-4}},
			},
			{
				T: 2000, Float: true, FloatCount: 2.5, FloatZeroCount: 0.5, Schema: -53, CustomValues: []float64{0.1, 1},
				Positive: Buckets{Spans: []Span{{0, 2}}, Counts: []float64{1, 1.5}},
			},
		},
		meta: Metadata{Type: HistogramType, Help: "Latency."},
	},
}

func TestDecode(t *testing.T) {
	f := func(v version, body []byte) {
		t.Helper()
		var r request
		for range 2 { // the second time in reused memory
			require.NoError(t, r.decode(v, body))
			require.Len(t, r.series, len(everything))
			for i, want := range everything {
				got := r.series[i]
				require.Equal(t, want.labels, flat(got.export()))
				require.Len(t, got.samples, len(want.samples))
				for j, s := range want.samples {
					require.Equal(t, s.T, got.samples[j].T)
					require.Equal(t, math.Float64bits(s.V), math.Float64bits(got.samples[j].V))
					require.Equal(t, j == 2, got.samples[j].Stale())
				}
				require.Equal(t, want.exemplars, append([]Exemplar(nil), got.exemplars...))
				require.Equal(t, want.histograms, append([]Histogram(nil), got.histograms...))
				if v == v2 {
					require.Equal(t, want.meta, got.meta)
				} else {
					require.Equal(t, family{want.labels[1], want.meta}, r.families[i])
				}
			}
		}
		want := Tally{Series: 2, Samples: 3, Histograms: 2, Exemplars: 1, Metadata: 2}
		require.Equal(t, want, r.tally())
		got, err := count(v, body)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f(v1, encodeV1(everything...))
	f(v2, encodeV2(everything...))
}

func flat(ls Labels) (out []string) {
	for _, l := range ls {
		out = append(out, l.Name, l.Value)
	}
	return out
}

func TestDecodeRefuses(t *testing.T) {
	f := func(v version, body []byte, want string) {
		t.Helper()
		var r request
		require.ErrorContains(t, r.decode(v, body), want)
	}
	named := func(labels ...string) sent { return sent{labels: labels} }
	var noRefs, oddRefs, farRef, badHelp message
	noRefs.bytes(5, nil)
	oddRefs.varints(1, []uint64{0})
	farRef.varints(1, []uint64{1, 2})
	var help message
	help.varint(3, 9)
	badHelp.bytes(5, help)
	v2of := func(ts message) (body message) {
		body.bytes(4, nil)
		body.bytes(4, []byte("a"))
		body.bytes(5, ts)
		return body
	}

	f(v1, encodeV1(named()), "without labels")
	f(v2, encodeV2(named()), "without labels")
	f(v1, encodeV1(named("b", "1", "a", "1")), "label a is repeated or not sorted")
	f(v2, encodeV2(named("b", "1", "a", "1")), "label a is repeated or not sorted")
	f(v1, encodeV1(named("a", "1", "a", "2")), "label a is repeated")
	f(v1, encodeV1(named("a", "")), "empty name or value")
	f(v2, noRefs, "first symbol is not the empty string")
	f(v2, v2of(oddRefs), "1 label references are not pairs")
	f(v2, v2of(farRef), "symbol 2 of 2")
	f(v2, v2of(badHelp), "help: symbol 9 of 2")
	f(v1, []byte{0x08, 0x01}, "field 1 has wire type 0, want 2")
	f(v1, encodeV1(everything...)[:40], "unexpected EOF")
}

func TestCanonicalForm(t *testing.T) {
	f := func(ls Labels, want string) {
		t.Helper()
		require.Equal(t, want, ls.String())
	}
	f(Labels{{nameLabel, "up"}}, `up`)
	f(Labels{{"b", "2"}, {nameLabel, "up"}, {"a", "1"}}, `up{a="1",b="2"}`)
	f(Labels{{"A", "1"}, {nameLabel, "up"}}, `up{A="1"}`)
	f(Labels{{"a", "say \"hi\"\n"}}, `{a="say \"hi\"\n"}`)
}

func TestDecompress(t *testing.T) {
	f := func(want string, elements ...byte) {
		t.Helper()
		got, err := decompress(nil, append(binary.AppendUvarint(nil, uint64(len(want))), elements...), 1<<20)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	f("")
	f("abc", 2<<2, 'a', 'b', 'c')
	f("abcabcab", 2<<2, 'a', 'b', 'c', 1<<2|tagCopy1, 3)         // 5 bytes from 3 back: a pattern
	f("abcdabcd", 3<<2, 'a', 'b', 'c', 'd', 3<<2|tagCopy2, 4, 0) // 4 bytes from 4 back
	f("abab", 1<<2, 'a', 'b', 1<<2|tagCopy4, 2, 0, 0, 0)         // 2 bytes from 2 back
	f("a"+strings.Repeat("a", 63), 0, 'a', 62<<2|tagCopy2, 1, 0) // a run
	long := strings.Repeat("x", 300)
	f(long, append([]byte{61 << 2, 43, 1}, long...)...)

	bad := func(src ...byte) {
		t.Helper()
		_, err := decompress(nil, src, 100)
		require.Error(t, err)
	}
	bad()
	bad(101)                               // more than the limit
	bad(3)                                 // none of three bytes
	bad(1, 2<<2, 'a', 'b', 'c')            // more than announced
	bad(3, 2<<2, 'a')                      // a truncated literal
	bad(3, 61<<2, 2)                       // a truncated length
	bad(5, 0, 'a', tagCopy1, 0)            // S2's repeat code
	bad(5, 0, 'a', tagCopy1, 2)            // an offset before the beginning
	bad(5, 0, 'a', tagCopy1)               // truncated copies
	bad(5, 0, 'a', 3<<2|tagCopy2, 1)       //
	bad(5, 0, 'a', 3<<2|tagCopy4, 1, 0, 0) //
	bad(3, 0, 'a', 3<<2|tagCopy2, 1, 0)    // copies more than announced
	bad(1, 63<<2, 255, 255, 255, 255, 'a') // a literal of 4 GiB
}

// FuzzDecode passes arbitrary bodies to both decoders. They must not panic, and counting
// must agree with decoding.
func FuzzDecode(f *testing.F) {
	f.Add(false, compress(encodeV1(everything...)))
	f.Add(true, compress(encodeV2(everything...)))
	f.Add(true, []byte{8, 2 << 2, 'a', 'b', 'c', 1<<2 | tagCopy1, 3})
	f.Fuzz(func(t *testing.T, second bool, wire []byte) {
		body, err := decompress(nil, wire, 1<<20)
		if err != nil {
			return
		}
		v := v1
		if second {
			v = v2
		}
		var r request
		if r.decode(v, body) != nil {
			return
		}
		counted, err := count(v, body)
		if err != nil {
			t.Fatalf("decodes, but counting says: %v", err)
		}
		decoded := r.tally()
		// A series can carry empty metadata.
		counted.Metadata, decoded.Metadata = 0, 0
		if counted != decoded {
			t.Fatalf("counted %+v, decoded %+v", counted, decoded)
		}
		for i := range r.series {
			_ = r.series[i].export().String()
		}
	})
}
