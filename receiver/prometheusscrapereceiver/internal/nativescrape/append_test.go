package nativescrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

// FuzzAppend scrapes two expositions one after the other. The second must give
// the samples, and the error, that it gives to a target that has not seen the
// first and so leaves it all to Prometheus' parser; and no series both a
// sample and a staleness marker.
func FuzzAppend(f *testing.F) {
	for _, s := range [][2]string{
		{"a 1\nb 2\n", "a 2\nb 3\n"},
		{"a 1\nb 2\n", "b 3\na 2\n"},
		{"a 1\na 2\n", "a 3\na 4\n"},
		{"# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n", "# TYPE a counter\na{x=\"1\"} 1\na{x=\"3\"} 2\na{x=\"2\"} 2\n"},
		{"a 1\n", "# TYPE a nonsense\na 1\n"},
		{"a 1 123\nb 1\n", "a 1 124\nb 1 125\n"}, {"a 0\nb 0\n", "b 0\nb 0 0\n"},
		{"a 1\n", "a 0x1p4\n"}, {"a 1\n", "a 1"}, {"a 1\n", "a  1\n"}, {"a 1\n", ""}, {"a 1\n", "a{\n"},
		{"a{b=\"c\\n\"} 1\n", "a{b=\"c\\n\"} NaN\n"},
		{"{\"a.b\",c=\"d\"} 1\n", "{\"a.b\",c=\"d\"} 1e3\n\n# x\n{\"a.b\",c=\"d\"} 1e3\n"},
	} {
		f.Add(s[0], s[1])
	}
	at := time.UnixMilli(20_000_000) // see recording.Append
	scrape := func(t *target, body string) (string, bool) {
		if body == "" {
			return "", false // target.scrape does not append it
		}
		r := t.sink.(*recorder)
		r.txs = nil
		s := t.newScrape(context.Background(), at)
		err := s.append([]byte(body), "text/plain")
		if err != nil {
			_ = s.app.Rollback()
			s = t.newScrape(context.Background(), at)
			s.fail()
		}
		if err := s.app.Commit(); err != nil {
			return err.Error(), false
		}
		return strings.Join(r.txs[0], "\n"), err == nil
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		used := newTarget(t, newRecorder())
		scrape(used, first)
		got, gotOK := scrape(used, second)
		want, wantOK := scrape(newTarget(t, newRecorder()), second)
		if gotOK != wantOK {
			t.Fatalf("succeeded: %v, want %v", gotOK, wantOK)
		}
		series := func(line string) string { return line[:max(0, strings.LastIndex(line, " at scrape from "))] }
		var samples []string
		sampled := map[string]bool{}
		for line := range strings.Lines(got) {
			if line = strings.TrimSuffix(line, "\n"); !strings.HasSuffix(line, " stale") {
				samples = append(samples, line)
				sampled[series(line)] = true
			}
		}
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasSuffix(line, " stale") && sampled[series(line)] {
				t.Fatalf("a sample and a staleness marker: %s", line)
			}
		}
		if got := strings.Join(samples, "\n"); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
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

func newTarget(t testing.TB, sink storage.AppendableV2) *target {
	cfg := loadConfig(t, "").ScrapeConfigs[0]
	lset, err := promscrape.PopulateLabels(labels.NewBuilder(labels.EmptyLabels()), cfg, model.LabelSet{model.AddressLabel: "h:1"}, nil)
	require.NoError(t, err)
	x := &target{cfg: cfg, t: promscrape.NewTarget(lset, cfg, nil, nil), sink: sink, logger: slog.New(slog.DiscardHandler)}
	require.NoError(t, x.setUp(false))
	return x
}

func BenchmarkAppend(b *testing.B) {
	const n = 2000
	body := exposition(n)
	for _, c := range []struct{ name, contentType string }{{"text", "text/plain"}, {"parsed", "application/openmetrics-text"}} {
		b.Run(c.name, func(b *testing.B) {
			t := newTarget(b, &discard{})
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
