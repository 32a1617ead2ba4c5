package nativescrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	promscrape "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
)

// Pairs of expositions that are scraped one after the other.
var (
	textSeeds = [][2]string{
		{"a 1\nb 2\n", "a 2\nb 3\n"},
		{"a 1\nb 2\n", "b 3\na 2\n"},
		{"a 1\na 2\n", "a 3\na 4\n"},
		{"# TYPE a counter\na{x=\"1\"} 1\na{x=\"2\"} 2\n", "# TYPE a counter\na{x=\"1\"} 1\na{x=\"3\"} 2\na{x=\"2\"} 2\n"},
		{"a 1\n", "# TYPE a nonsense\na 1\n"},
		{"a 1 123\nb 1\n", "a 1 124\nb 1 125\n"}, {"a 0\nb 0\n", "b 0\nb 0 0\n"},
		{"a 1\n", "a 0x1p4\n"}, {"a 1\n", "a 1"}, {"a 1\n", "a  1\n"}, {"a 1\n", ""}, {"a 1\n", "a{\n"},
		{"a{b=\"c\\n\"} 1\n", "a{b=\"c\\n\"} NaN\n"},
		{"{\"a.b\",c=\"d\"} 1\n", "{\"a.b\",c=\"d\"} 1e3\n\n# x\n{\"a.b\",c=\"d\"} 1e3\n"},
		// Labels that depend on the type, in families that grow.
		{
			"# HELP h H.\n# TYPE h histogram\nh_bucket{route=\"/a\",le=\"1\"} 1\nh_bucket{route=\"/a\",le=\"+Inf\"} 1\nh_sum{route=\"/a\"} 1\nh_count{route=\"/a\"} 1\n",
			"# HELP h H.\n# TYPE h histogram\nh_bucket{route=\"/a\",le=\"1\"} 1\nh_bucket{route=\"/a\",le=\"+Inf\"} 1\nh_bucket{route=\"/b\",le=\"1\"} 1\nh_bucket{route=\"/b\",le=\"1e3\"} 1\nh_sum{route=\"/a\"} 1\n",
		},
		{
			"# TYPE s summary\ns{quantile=\"1\"} 1\ns_sum 1\n# HELP s S.\n", "# TYPE s summary\ns{quantile=\"1\"} 1\ns_sum 1\n# HELP s S.\ns{x=\"y\",quantile=\"0\"} 1\n",
		},
		{
			"# TYPE h histogram\n# HELP g G.\nh_bucket{le=\"1\"} 1\n# some words\n\ng 1\n", "# TYPE h histogram\n# HELP g G.\nh_bucket{le=\"1\"} 1\n# some words\n\nh_bucket{le=\"2\"} 1\ng 1\n",
		},
		{
			"# HELP a A.\n# HELP b B.\n# TYPE a counter\na 1\n# TYPE b gauge\nb 1\n# HELP a A.\na{x=\"1\"} 1\n", "# HELP a A.\n# HELP b B.\n# TYPE a counter\na 1\n# TYPE b gauge\nb 1\n# HELP a A.\na{x=\"1\"} 1\na{x=\"2\"} 1\nb 1\n",
		},
		{"# TYPE a_total counter\na_total 1\na_total_total 1\n# TYPE b_bucket histogram\nb_bucket 1\n", "a_total 1\na_total_total 1\nb_bucket 1\n"},
		// Lines that begin with # but are not comments, and comments over several lines.
		{"a 1\nb{x=\"\n# TYPE a nonsense\n\"} 1\n", "a 1\n# TYPE a nonsense\n"},
		{"#x\x00\na 1\n", "#x\x00\na 1\nb 1\n"}, {"a 1\n#x\x00\nb 1\n", "#x\x00\na 1\nc 1\n"},
		{"# HELP \"a\n\" x\nfoo 1\n", "# HELP \"a\nfoo 1\n\" x\n"}, {"a 1\n# HELP \"a\nb\" x\nc 1\n", "a 1\n# HELP \"a\nb\" x\nd 1\n"},
	}
	openMetricsSeeds = [][2]string{
		{
			"# TYPE a counter\n# UNIT a_seconds seconds\na_total 1 # {t=\"1\"} 2\na_created 5\n# EOF\n",
			"# TYPE a counter\n# UNIT a_seconds seconds\na_total 1 # {t=\"1\"} 2 3\na_created 5\na_total{x=\"y\"} 1\na_created{x=\"y\"} 6\n# EOF\n",
		},
		{
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {} 1\nh_count 1\nh_sum 1\nh_created 1\n# EOF\n",
			"# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {} 1\nh_bucket{le=\"2\"} 1 # {} 1 2\nh_count 1\nh_sum 1\nh_created 1\n# EOF\n",
		},
		// Prometheus' parser never stops looking ahead in this one.
		{"# TYPE h histogram\n# EOF\n", "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1 # { 1 2\nh_count 1\n# EOF\n"},
		// It panics in this one.
		{"# TYPE long_name counter\n# EOF\n", "# TYPE long_name counter\na 1\nlong_name_total 1\nlong_name_created 2\n# EOF\n"},
		{"# TYPE a info\na_info 1\n# EOF\n", "# TYPE a info\na_info 1\na_info{x=\"y\"} 1\n"},
	}
)

// FuzzAppend scrapes two expositions one after the other. The shortcut for known
// lines may stop at any line of the second one. Wherever it does, samples, exemplars,
// start timestamps, the error, and the labels and metadata of new series must be
// those that Prometheus' parser finds when it reads the whole exposition, and no
// series has both a sample and a staleness marker.
func FuzzAppend(f *testing.F) {
	for _, s := range textSeeds {
		f.Add(s[0], s[1], false)
	}
	for _, s := range openMetricsSeeds {
		f.Add(s[0], s[1], true)
	}
	f.Fuzz(func(t *testing.T, first, second string, openMetrics bool) {
		contentType := "text/plain"
		if openMetrics {
			contentType = "application/openmetrics-text"
		}
		before, want := parse(t, first, contentType), parse(t, second, contentType)
		if before.ambiguous || want.ambiguous {
			t.Skip("Prometheus, too, identifies a series by its text alone")
		}
		for text, ls := range want.texts {
			if known, ok := before.texts[text]; ok && known != ls {
				t.Skip("a text keeps the labels it had first")
			}
		}
		for known := 0; ; known++ {
			tgt := newTarget(t, newRecorder())
			tgt.parsing.OpenMetricsSkipSTSeries = openMetrics
			scrapeText(t, tgt, first, contentType)
			total := len(tgt.lines.known)
			tgt.lines.known = tgt.lines.known[:min(known, total)]
			got, ok := scrapeText(t, tgt, second, contentType)
			if ok != want.ok {
				t.Fatalf("%d known: succeeded: %v, want %v", known, ok, want.ok)
			}
			checkSamples(t, known, got, want)
			if want.ok {
				checkMetadata(t, known, tgt.sink.(*recorder).metadata, want)
			}
			if known >= total {
				return
			}
		}
	})
}

// scrapeText scrapes body, unless it is empty, and returns what was committed and
// whether the scrape succeeded.
func scrapeText(t *testing.T, tgt *target, body, contentType string) (lines []string, ok bool) {
	if body == "" {
		return nil, false // appendBody does not pass it on
	}
	r := tgt.sink.(*recorder)
	r.txs, r.metadata = nil, map[string][]familyMetadata{}
	s := tgt.newScrape(context.Background(), fuzzTime)
	err := s.append([]byte(body), contentType)
	if err != nil {
		_ = s.app.Rollback()
		s = tgt.newScrape(context.Background(), fuzzTime)
		s.fail()
	}
	require.NoError(t, s.app.Commit())
	return r.txs[0], err == nil
}

func checkSamples(t *testing.T, known int, got []string, want reading) {
	var samples []string
	sampled := map[string]bool{} // series with a sample at the time of the scrape
	for _, line := range got {
		if !strings.HasSuffix(line, " stale") {
			samples = append(samples, line)
			sampled[line[:strings.LastIndex(line, " at ")]] = strings.Contains(line, " at scrape from ")
		}
	}
	for _, line := range got {
		if strings.HasSuffix(line, " stale") && sampled[line[:strings.LastIndex(line, " at scrape from ")]] {
			t.Fatalf("%d known: a sample and a staleness marker: %s", known, line)
		}
	}
	if got, want := strings.Join(samples, "\n"), strings.Join(want.samples, "\n"); got != want {
		t.Fatalf("%d known: got\n%s\nwant\n%s", known, got, want)
	}
}

func checkMetadata(t *testing.T, known int, got map[string][]familyMetadata, want reading) {
	for name, all := range got {
		for _, m := range all {
			if !slices.Contains(want.metadata[name], m) {
				t.Fatalf("%d known: %s has metadata %v, want one of %v", known, name, m, want.metadata[name])
			}
		}
	}
}

var fuzzTime = time.UnixMilli(20_000_000) // see recording.Append

// reading is what Prometheus' parser finds in a whole exposition.
type reading struct {
	samples  []string // as recorded, without staleness markers
	metadata map[string][]familyMetadata
	texts    map[string]string // labels by series text
	ok       bool
	// ambiguous reports whether one text stands for several series, depending on the
	// type declared before it.
	ambiguous bool
}

// parse reads body with Prometheus' parser and records its samples.
func parse(t *testing.T, body, contentType string) (out reading) {
	out.texts = map[string]string{}
	r := newRecorder()
	r.metadata = map[string][]familyMetadata{}
	defer func() {
		out.metadata = r.metadata
		if len(r.txs) > 0 && out.ok {
			out.samples = r.txs[0]
		}
	}()
	if body == "" {
		return out
	}
	tgt := newTarget(t, r)
	tgt.parsing.OpenMetricsSkipSTSeries = contentType != "text/plain"
	if tgt.checkExemplars([]byte(body), contentType) != nil {
		return out
	}
	p, err := textparse.New([]byte(body), contentType, labels.NewSymbolTable(), tgt.parsing)
	require.NoError(t, err)
	app := r.AppenderV2(context.Background())
	var families families
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			out.ok = true
			_ = app.Commit()
			return out
		}
		if err != nil {
			return out
		}
		switch entry {
		case textparse.EntryType:
			name, typ := p.Type()
			families.declare(name).metadata.Type = typ
		case textparse.EntryHelp:
			name, help := p.Help()
			families.declare(name).metadata.Help = string(help)
		case textparse.EntryUnit:
			name, unit := p.Unit()
			families.declare(name).metadata.Unit = string(unit)
		case textparse.EntrySeries:
			text, own, v := p.Series()
			var ls labels.Labels
			p.Labels(&ls)
			ls = tgt.mutate(ls)
			if !ls.IsValid(model.UTF8Validation) || !ls.Has(model.MetricNameLabel) {
				return out
			}
			known, isRepeated := out.texts[string(text)]
			if isRepeated && known != ls.String() {
				out.ambiguous = true
			}
			out.texts[string(text)] = ls.String()
			at := fuzzTime.UnixMilli()
			if own != nil {
				at = *own
			}
			if isRepeated && own == nil || at > fuzzTime.Add(maxAhead).UnixMilli() {
				continue
			}
			var opts storage.AOptions
			var e exemplar.Exemplar
			if p.Exemplar(&e) {
				if !e.HasTs {
					e.Ts = at
				}
				opts.Exemplars = []exemplar.Exemplar{e}
			}
			if f := families.last; f != nil && f.owns(ls.Get(model.MetricNameLabel)) {
				opts.MetricFamilyName, opts.Metadata = f.name, f.metadata
			}
			_, err := app.Append(0, ls, startTimestamp(p), at, v, nil, nil, opts)
			require.NoError(t, err)
		}
	}
}

// discard is the cheapest possible sink.
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
	tgt := &target{cfg: cfg, discovered: promscrape.NewTarget(lset, cfg, nil, nil), sink: sink, logger: slog.New(slog.DiscardHandler)}
	require.NoError(t, tgt.init(false))
	return tgt
}

func BenchmarkAppend(b *testing.B) {
	const n = 2000
	body := exposition(n)
	// One series in the middle changes with every scrape.
	changed := bytes.Replace(body, []byte("f20_total{method=\"GET\""), []byte("f20_total{method=\"PUT\""), 1)
	for _, c := range []struct{ name, contentType string }{{"text", "text/plain"}, {"changing", "text/plain"}, {"parsed", "application/openmetrics-text"}} {
		b.Run(c.name, func(b *testing.B) {
			t := newTarget(b, &discard{})
			bodies := [2][]byte{body, body}
			switch c.name {
			case "changing":
				bodies[1] = changed
			case "parsed":
				bodies[0] = append(body[:len(body):len(body)], "# EOF\n"...)
				bodies[1] = bodies[0]
			}
			text := make([]byte, 0, len(bodies[0])+1)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				text, i = append(text[:0], bodies[i%2]...), i+1 // append writes into it
				s := t.newScrape(context.Background(), model.Time(1000).Time())
				if err := s.append(text, c.contentType); err != nil && !errors.Is(err, io.EOF) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/sample")
		})
	}
}

// No exposition crashes the process or blocks a scrape for ever.
func TestMalformedOpenMetrics(t *testing.T) {
	for _, body := range []string{
		"# TYPE long_name counter\na 1\n# EOF\n",
		"# TYPE long_name histogram\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\na_count 1\na_sum 1\nb 1\n# EOF\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"2\"} 1 # { 1 2\nh_count 1\n# EOF\n",
		"# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {} 1 2\nh_bucket{le=\"2\"} 1 # {} x\nh_count 1\n# EOF\n",
	} {
		for _, nhcb := range []bool{false, true} {
			for _, starts := range []bool{false, true} {
				tgt := newTarget(t, newRecorder())
				tgt.parsing.ConvertClassicHistogramsToNHCB, tgt.parsing.OpenMetricsSkipSTSeries = nhcb, starts
				s := tgt.newScrape(context.Background(), fuzzTime)
				_ = s.append([]byte(body), "application/openmetrics-text")
			}
		}
	}
}

// A series' own labels take precedence over external labels, and limits apply to
// the scraped labels only.
func TestExternalLabels(t *testing.T) {
	r := newRecorder()
	tgt := newTarget(t, r)
	tgt.cfg.LabelLimit = 4 // name, instance, job and one more
	for _, l := range [][2]string{{"cluster", "external"}, {"job", "external"}, {"region", "eu"}, {"none", ""}} {
		tgt.external = append(tgt.external, labels.Label{Name: l[0], Value: l[1]})
	}
	scrape := func(body string) {
		s := tgt.newScrape(context.Background(), fuzzTime)
		require.NoError(t, s.append([]byte(body), "text/plain"))
		s.report(outcome{succeeded: true})
		require.NoError(t, s.app.Commit())
	}
	scrape("a{cluster=\"own\"} 1\nb 1\nc{cluster=\"\"} 1\n")
	got := strings.Join(r.txs[0], "\n")
	for _, want := range []string{
		`{__name__="a", cluster="own", instance="h:1", job="j", region="eu"} at`,
		`{__name__="b", cluster="external", instance="h:1", job="j", region="eu"} at`,
		`{__name__="c", cluster="external", instance="h:1", job="j", region="eu"} at`,
		`{__name__="up", cluster="external", instance="h:1", job="j", region="eu"} at`,
	} {
		require.Contains(t, got, want)
	}
	require.NotContains(t, got, "none")
}
