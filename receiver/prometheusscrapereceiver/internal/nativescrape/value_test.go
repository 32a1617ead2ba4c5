package nativescrape

import (
	"math"
	"strconv"
	"testing"

	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
)

// parsed returns the value that Prometheus' parser reads, and whether it accepts text.
func parsed(text string) (float64, bool) {
	p, err := textparse.New([]byte("m "+text+"\n"), "text/plain", nil, textparse.ParserOptions{})
	if err != nil {
		return 0, false
	}
	if e, err := p.Next(); err != nil || e != textparse.EntrySeries {
		return 0, false
	}
	_, ts, v := p.Series()
	return v, ts == nil
}

func FuzzParseValue(f *testing.F) {
	for _, s := range []string{"0", "-0", "1", "123456789012345", "1234567890123456", "0.1", ".5", "5.", "-.25", "1e5", "NaN", "+Inf", "-inf", "", ".", "-", "1_0", "0x1p4", "1.2.3", "999999999999999.9"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseValue([]byte(s))
		if !ok {
			return // left to Prometheus' parser
		}
		want, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatalf("%q is not a number", s)
		}
		if math.IsNaN(want) {
			want = math.Float64frombits(value.NormalNaN)
		}
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%q: got %v, want %v", s, got, want)
		}
		if upstream, ok := parsed(s); !ok || math.Float64bits(upstream) != math.Float64bits(want) {
			t.Fatalf("%q: Prometheus' parser gives %v, %v", s, upstream, ok)
		}
	})
}
