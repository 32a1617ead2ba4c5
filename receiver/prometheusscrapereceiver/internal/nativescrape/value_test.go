package nativescrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/model/value"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

// parsed is what Prometheus' parser makes of a value, false if it refuses.
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
			return // left to the parser
		}
		want, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatalf("%q is no number", s)
		}
		if math.IsNaN(want) {
			want = math.Float64frombits(value.NormalNaN)
		}
		if math.Float64bits(got) != math.Float64bits(want) {
			t.Fatalf("%q: %v is not %v", s, got, want)
		}
		if theirs, ok := parsed(s); !ok || math.Float64bits(theirs) != math.Float64bits(want) {
			t.Fatalf("%q: Prometheus' parser gives %v, %v", s, theirs, ok)
		}
	})
}

// discard is a sink as cheap as one can be.
type discard struct{ n storage.SeriesRef }

func (d *discard) AppenderV2(context.Context) storage.AppenderV2 { return d }
func (d *discard) Commit() error                                 { return nil }
func (d *discard) Rollback() error                               { return nil }

func (d *discard) Append(ref storage.SeriesRef, _ labels.Labels, _, _ int64, _ float64, _ *histogram.Histogram, _ *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	if ref == 0 {
		d.n++
		return d.n, nil
	}
	return ref, nil
}

func exposition(n int) []byte {
	var b strings.Builder
	for i := range n {
		if i%50 == 0 {
			fmt.Fprintf(&b, "# HELP http_requests_f%d_total Number of requests.\n# TYPE http_requests_f%d_total counter\n", i/50, i/50)
		}
		fmt.Fprintf(&b, "http_requests_f%d_total{method=\"GET\",handler=\"/api/v1/h%d\",code=\"%d\",pod=\"pod-17-abcdef\"} %d\n", i/50, i%50, 200+i%5, 1000*i)
	}
	return []byte(b.String())
}

func benchTarget(b *testing.B) *target {
	cfg := loadConfig(b, "").ScrapeConfigs[0]
	lset, err := promscrape.PopulateLabels(labels.NewBuilder(labels.EmptyLabels()), cfg, model.LabelSet{model.AddressLabel: "h:1"}, nil)
	require.NoError(b, err)
	t := &target{cfg: cfg, t: promscrape.NewTarget(lset, cfg, nil, nil), sink: &discard{}, logger: slog.New(slog.DiscardHandler)}
	require.NoError(b, t.setUp(false))
	return t
}

func BenchmarkAppend(b *testing.B) {
	const n = 2000
	body := exposition(n)
	for _, c := range []struct{ name, contentType string }{{"text", "text/plain"}, {"parsed", "application/openmetrics-text"}} {
		b.Run(c.name, func(b *testing.B) {
			t := benchTarget(b)
			text := body
			if c.name == "parsed" {
				text = append(text[:len(text):len(text)], "# EOF\n"...)
			}
			b.ReportAllocs()
			for b.Loop() {
				s := t.newScrape(context.Background(), model.Time(1000).Time())
				if err := s.append(text, c.contentType); err != nil && !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
}
