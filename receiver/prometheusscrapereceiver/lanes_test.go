package prometheusscrapereceiver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter"
	"github.com/invar-otel/invar/receiver/prometheusscrapereceiver/internal/metadata"
)

// endpoint takes remote write 2.0 and keeps each sample as text.
type endpoint struct {
	mu      sync.Mutex
	samples map[string][]written // by series
	meta    map[string]string
}

type written struct {
	at   int64
	text string
	ex   []string // with "AT" for the time of the sample
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		body, err = s2.Decode(nil, body)
	}
	var req writev2.Request
	if err == nil {
		err = req.Unmarshal(body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	samples, histograms := e.take(&req)
	w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", fmt.Sprint(samples))
	w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", fmt.Sprint(histograms))
	w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	w.WriteHeader(http.StatusNoContent)
}

func (e *endpoint) take(req *writev2.Request) (samples, histograms int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&b, req.Symbols)
		if err != nil {
			continue // Prometheus would have refused it
		}
		name := ls.String()
		if md, err := ts.ToMetadata(req.Symbols); err == nil {
			e.meta[name] = fmt.Sprintf("%s %q %q", md.Type, md.Help, md.Unit)
		}
		var exemplars []string
		for _, from := range ts.Exemplars {
			if x, err := from.ToExemplar(&b, req.Symbols); err == nil {
				exemplars = append(exemplars, fmt.Sprintf("%s %v at %d", x.Labels, x.Value, x.Ts))
			}
		}
		slices.Sort(exemplars)
		add := func(at, start int64, text string) {
			if start != 0 {
				text += fmt.Sprintf(" from %d", start)
			}
			e.samples[name] = append(e.samples[name], written{at: at, text: text, ex: exemplars})
			exemplars = nil
		}
		for _, s := range ts.Samples {
			samples++
			text := fmt.Sprint(s.Value)
			if value.IsStaleNaN(s.Value) {
				text = "stale"
			}
			add(s.Timestamp, s.StartTimestamp, text)
		}
		for _, h := range ts.Histograms {
			histograms++
			text := ""
			if h.IsFloatHistogram() {
				text = "float "
			}
			f := h.ToFloatHistogram()
			hint := f.CounterResetHint
			f.Compact(0)
			text += fmt.Sprintf("schema %d zero %v %v count %v sum %v hint %d %v %v %v %v %v", f.Schema, f.ZeroThreshold, f.ZeroCount,
				f.Count, f.Sum, hint, f.PositiveSpans, f.PositiveBuckets, f.NegativeSpans, f.NegativeBuckets, f.CustomValues)
			add(h.Timestamp, h.StartTimestamp, text)
		}
	}
	return samples, histograms
}

// scrapes returns the times of the scrapes of a case so far, in order.
func (e *endpoint) scrapes(of string) []int64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	var times []int64
	for name, all := range e.samples {
		if strings.Contains(name, `__name__="up"`) && strings.Contains(name, of) {
			for _, s := range all {
				times = append(times, s.at)
			}
		}
	}
	slices.Sort(times)
	return slices.Compact(times)
}

// text writes all down that came of the first n scrapes of a case, by series.
// Times of scrapes become their numbers.
func (e *endpoint) text(of string, n int) map[string]string {
	times := e.scrapes(of)
	e.mu.Lock()
	defer e.mu.Unlock()
	all := map[string]string{}
	for name, samples := range e.samples {
		if !strings.Contains(name, of) {
			continue
		}
		slices.SortStableFunc(samples, func(a, b written) int { return cmp.Compare(a.at, b.at) })
		var b strings.Builder
		for _, s := range samples {
			at := fmt.Sprint("at ", s.at)
			if i, ok := slices.BinarySearch(times, s.at); ok && i >= n {
				continue
			} else if ok {
				at = fmt.Sprint("in scrape ", i)
			}
			text := s.text
			if strings.Contains(name, `__name__="scrape_duration_seconds"`) {
				text = "some time"
			}
			fmt.Fprintf(&b, "\n  %s %s", at, text)
			for _, x := range s.ex {
				fmt.Fprintf(&b, " exemplar %s", strings.Replace(x, fmt.Sprint("at ", s.at), "then", 1))
			}
		}
		if b.Len() > 0 {
			all[strings.ReplaceAll(name, of+", ", "")] = e.meta[name] + b.String()
		}
	}
	return all
}

// laneGroup is cases that are scraped side by side.
type laneGroup struct {
	global   string
	receiver string
	exporter map[string]any
	cases    map[string]laneCase
}

// caseLabel is by what the series of a case are told from others.
func caseLabel(name string) string { return fmt.Sprintf("case=%q", name) }

// run scrapes the servers of all cases until enough has come out of an exporter,
// and returns that by case and series.
func (g *laneGroup) run(t *testing.T, native bool) map[string]map[string]string {
	t.Helper()
	out := &endpoint{samples: map[string][]written{}, meta: map[string]string{}}
	server := httptest.NewServer(out)
	defer server.Close()
	exporterConfig := map[string]any{
		"endpoint": server.URL,
		"wal":      map[string]any{"directory": filepath.Join(t.TempDir(), "wal")},
		"queue":    map[string]any{"batch_send_deadline": "10ms"},
	}
	maps.Copy(exporterConfig, g.exporter)
	factory := prometheuswalexporter.NewFactory()
	cfg := factory.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(exporterConfig).Unmarshal(cfg))
	e, err := factory.CreateMetrics(t.Context(), exportertest.NewNopSettings(factory.Type()), cfg)
	require.NoError(t, err)
	host := newHost(e)
	require.NoError(t, e.Start(t.Context(), host))
	defer func() { require.NoError(t, e.Shutdown(context.Background())) }()

	text := "lane: pdata\n"
	if native {
		text = "lane: native\nnative_exporters: [prometheus_wal]\n"
	}
	text += g.receiver + fmt.Sprintf("config:\n  global: {scrape_interval: 600ms, scrape_timeout: 600ms%s}\n  scrape_configs:\n", g.global)
	for name, c := range g.cases {
		text += fmt.Sprintf("  - {job_name: '%s', relabel_configs: [{target_label: job, replacement: j}], static_configs: [{targets: ['%s'], labels: {instance: 'host:80', case: '%s'}}]%s}\n",
			name, c.serve(t), name, c.job)
	}
	receiverConfig, err := parseConfig(t, text)
	require.NoError(t, err)
	r, err := NewFactory().CreateMetrics(t.Context(), receivertest.NewNopSettings(metadata.Type), receiverConfig, &processor{next: e})
	require.NoError(t, err)
	require.NoError(t, r.Start(t.Context(), host))
	require.Eventually(t, func() bool {
		for name, c := range g.cases {
			if len(out.scrapes(caseLabel(name))) <= len(c.bodies)+1 {
				return false
			}
		}
		return true
	}, time.Minute, 20*time.Millisecond)
	require.NoError(t, r.Shutdown(context.Background()))
	got := map[string]map[string]string{}
	for name, c := range g.cases {
		got[name] = out.text(caseLabel(name), len(c.bodies))
	}
	return got
}

// both runs the group in both lanes.
func (g *laneGroup) both(t *testing.T) (native, pdata map[string]map[string]string) {
	var wg sync.WaitGroup
	wg.Go(func() { native = g.run(t, true) })
	wg.Go(func() { pdata = g.run(t, false) })
	wg.Wait()
	require.False(t, t.Failed())
	return native, pdata
}

// laneCase is expositions, scraped one after the other, and how.
type laneCase struct {
	bodies []string
	format string // of the bodies: text unless om or proto
	job    string // more keys of the job, after a comma
}

// serve answers each request with the next body, and from then on with the last.
func (c *laneCase) serve(t *testing.T) (addr string) {
	var mu sync.Mutex
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		body := c.bodies[min(n, len(c.bodies)-1)]
		n++
		mu.Unlock()
		switch c.format {
		case "om":
			w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
		case "proto":
			w.Header().Set("Content-Type", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
			body = encode(t, body)
		default:
			w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		}
		if body == "fails" {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// encode turns families written as text into the protobuf format.
func encode(t *testing.T, body string) string {
	var b strings.Builder
	for text := range strings.SplitSeq(body, "---\n") {
		var mf dto.MetricFamily
		require.NoError(t, prototext.Unmarshal([]byte(text), &mf))
		_, err := protodelim.MarshalTo(&b, &mf)
		require.NoError(t, err)
	}
	return b.String()
}

// processor is what lies between: scrapes come encoded and decoded again, two in
// one batch.
type processor struct {
	consumer.Metrics
	next    consumer.Metrics
	mu      sync.Mutex
	waiting pmetric.Metrics
	n       int
}

func (p *processor) ConsumeMetrics(ctx context.Context, md pmetric.Metrics) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n++; p.n%2 == 1 {
		p.waiting = md
		return nil
	}
	md.ResourceMetrics().MoveAndAppendTo(p.waiting.ResourceMetrics())
	wire, err := (&pmetric.ProtoMarshaler{}).MarshalMetrics(p.waiting)
	if err != nil {
		return err
	}
	decoded, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(wire)
	if err != nil {
		return err
	}
	return p.next.ConsumeMetrics(ctx, decoded)
}

// TestLanesWriteTheSame scrapes the same expositions in both lanes, and compares
// all that an endpoint gets: series, metadata, values, times, exemplars.
func TestLanesWriteTheSame(t *testing.T) {
	for name, g := range map[string]laneGroup{
		"defaults": {cases: map[string]laneCase{
			"text": {bodies: []string{nastyText, nastyText, "only 1\n", nastyText}},
			"text without metadata": {bodies: []string{`requests 1
requests_total{a="b"} 2
x_bucket{le="1"} 3
x_sum 4
x_count 5
y{quantile="1"} 6
info_info{v="1"} 7
z_created 8
`}},
			"openmetrics": {format: "om", bodies: []string{nastyOpenMetrics, nastyOpenMetrics, "# EOF\n", nastyOpenMetrics}},
			"protobuf":    {format: "proto", bodies: []string{nastyProto, nastyProto}},
			"native histograms": {format: "proto", job: ", scrape_native_histograms: true", bodies: []string{
				nastyProto, nastyProto, `name: "level" type: GAUGE metric { gauge { value: -1 } }`, nastyProto,
			}},
			"custom buckets": {job: ", convert_classic_histograms_to_nhcb: true", bodies: []string{customText, customText, "only 1\n", customText}},
			"custom buckets openmetrics": {
				format: "om", job: ", convert_classic_histograms_to_nhcb: true", bodies: []string{nastyOpenMetrics, nastyOpenMetrics, "# EOF\n"},
			},
			"failure":       {bodies: []string{nastyText, "fails", "fails", nastyText, "}} 7\n", nastyText}},
			"times":         {bodies: []string{"a 1 1000\nb{x=\"1\"} 2\nc 3 0\nd 4\n", "a 1 2000\na 2 2500\nb{x=\"1\"} 2\nc 3 5\nd 4\n", "d 4\n"}},
			"times tracked": {job: ", track_timestamps_staleness: true", bodies: []string{"a 1 1000\nb 2\n", "b 2\n"}},
			"times ignored": {job: ", honor_timestamps: false", bodies: []string{"a 1 1000\nb 2\n", "b 2\n"}},
			"conflicts":     {bodies: []string{conflicts, conflicts, "only 1\n"}},
			"honoured":      {job: ", honor_labels: true", bodies: []string{federation, federation, "only 1\n"}},
			"empty job":     {job: ", honor_labels: true", bodies: []string{"a{job=\"\",instance=\"\"} 1\na{instance=\"\"} 2\n", "b 1\n"}},
			"relabelled": {
				job:    `, metric_relabel_configs: [{action: labeldrop, regex: "code|room|k"}, {source_labels: [__name__], regex: plain, target_label: __name__, replacement: "a.b"}]`,
				bodies: []string{nastyText, "only 1\n"},
			},
			"no job, no instance": {
				job: `, metric_relabel_configs: [{action: labeldrop, regex: "job|instance"}]`, bodies: []string{"a 1\nb{x=\"1\"} 2\n", "a 1\n"},
			},
			"extra metrics": {job: ", extra_scrape_metrics: true, sample_limit: 100", bodies: []string{"a 1\n", "fails"}},
		}},
		"start timestamps": {receiver: "start_timestamps: true\n", cases: map[string]laneCase{
			"openmetrics": {format: "om", bodies: []string{nastyOpenMetrics, nastyOpenMetrics}},
			"native and classic histograms": {
				format: "proto", job: ", scrape_native_histograms: true, always_scrape_classic_histograms: true", bodies: []string{nastyProto, nastyProto},
			},
		}},
		"external labels": {global: ", external_labels: {zone: z1, cluster: c}", cases: map[string]laneCase{
			"text": {bodies: []string{nastyText, "only 1\n"}},
		}},
		// What concerns the translation of OTLP does not concern them.
		"translation": {
			exporter: map[string]any{"translation": map[string]any{
				"strategy": "NoTranslation", "namespace": "ns", "convert_histograms_to_nhcb": true, "promote_scope_metadata": false,
			}},
			cases: map[string]laneCase{"text": {bodies: []string{nastyText, nastyText}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			native, pdata := g.both(t)
			for name := range g.cases {
				want, got := native[name], pdata[name]
				for series := range want {
					if isReport(series) { // the texts of their help differ
						want[series], got[series] = withoutMetadata(want[series]), withoutMetadata(got[series])
					}
				}
				require.NotEmpty(t, want)
				require.Equal(t, want, got, name)
			}
		})
	}
}

// TestLanesDiffer holds the list in the README, "What the pdata lane cannot
// carry": what is in it, and how each lane writes it.
func TestLanesDiffer(t *testing.T) {
	t.Parallel()
	g := laneGroup{cases: map[string]laneCase{}}
	wants := map[string]string{}
	f := func(name string, c laneCase, want string) {
		g.cases[name], wants[name] = c, want
	}
	check := func(name string, native, pdata map[string]string) {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for series := range native {
				if _, ok := pdata[series]; !ok {
					pdata[series] = "\n  nothing"
				}
			}
			for series, got := range pdata {
				if native[series] == got || isReport(series) {
					continue
				}
				was, ok := native[series]
				if !ok {
					was = "\n  nothing"
				}
				series = strings.NewReplacer(`instance="host:80", `, "", `, instance="host:80"`, "", `job="j", `, "", `, job="j"`, "").Replace(series)
				lines = append(lines, series+"\nnative "+was+"\npdata "+got)
			}
			slices.Sort(lines)
			require.Equal(t, strings.TrimSpace(wants[name]), strings.Join(lines, "\n"))
		})
	}
	f("histograms that are not whole", laneCase{bodies: []string{`# TYPE countless histogram
countless_bucket{le="1"} 2
countless_sum 3
# TYPE open histogram
open_bucket{le="1"} 2
open_sum 3
open_count 4
# TYPE odd histogram
odd_bucket{le="x"} 1
odd_bucket{le="1"} 1.5
odd_bucket{le="2"} 1
odd_bucket{le="+Inf"} 3
odd_sum 4
odd_count 5
`}}, `
{__name__="countless_bucket", le="1.0"}
native histogram "" ""
  in scrape 0 2
pdata 
  nothing
{__name__="countless_sum"}
native histogram "" ""
  in scrape 0 3
pdata 
  nothing
{__name__="odd_bucket", le="+Inf"}
native histogram "" ""
  in scrape 0 3
pdata histogram "" ""
  in scrape 0 5
{__name__="odd_bucket", le="1.0"}
native histogram "" ""
  in scrape 0 1.5
pdata histogram "" ""
  in scrape 0 1
{__name__="odd_bucket", le="x"}
native histogram "" ""
  in scrape 0 1
pdata 
  nothing
{__name__="open_bucket", le="+Inf"}
native 
  nothing
pdata histogram "" ""
  in scrape 0 4
`)
	f("summaries that are not whole", laneCase{bodies: []string{`# TYPE countless summary
countless{quantile="1"} 2
countless_sum 3
# TYPE sumless summary
sumless{quantile="1"} 2
sumless_count 3
`}}, `
{__name__="countless", quantile="1.0"}
native summary "" ""
  in scrape 0 2
pdata 
  nothing
{__name__="countless_sum"}
native summary "" ""
  in scrape 0 3
pdata 
  nothing
{__name__="sumless_sum"}
native 
  nothing
pdata summary "" ""
  in scrape 0 0
`)
	f("the end of a histogram without a sum", laneCase{bodies: []string{
		"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\n", "a 1\n",
	}}, `
{__name__="h_sum"}
native 
  nothing
pdata histogram "" ""
  in scrape 1 stale
`)
	f("fractions", laneCase{format: "proto", job: ", scrape_native_histograms: true", bodies: []string{`name: "h" type: HISTOGRAM
metric { histogram {
  sample_count_float: 7.5 sample_sum: 3 schema: 1 zero_threshold: 0.01 zero_count_float: 0.5
  positive_span { offset: 4 length: 1 } positive_count: 7
} }`}}, `
{__name__="h"}
native histogram "" ""
  in scrape 0 float schema 1 zero 0.01 0.5 count 7.5 sum 3 hint 0 [{4 1}] [7] [] [] []
pdata histogram "" ""
  in scrape 0 schema 1 zero 0.01 0 count 7 sum 3 hint 0 [{4 1}] [7] [] [] []
`)
	f("_created that belongs to nothing", laneCase{format: "om", bodies: []string{`# TYPE orphan counter
orphan_created 1700000000
# TYPE zero counter
zero_total 1
zero_created 0
# EOF
`}}, `
{__name__="orphan_created"}
native unknown "" ""
  in scrape 0 1.7e+09
pdata 
  nothing
{__name__="zero_created"}
native unknown "" ""
  in scrape 0 0
pdata 
  nothing
`)
	f("target_info", laneCase{bodies: []string{
		"# HELP target_info Of the target.\n# TYPE target_info gauge\ntarget_info{deployment__environment=\"prod\",\"a.b\"=\"c\"} 1\na 1\n", "a 1\n",
	}}, `
{__name__="target_info", "a.b"="c", deployment__environment="prod"}
native gauge "Of the target." ""
  in scrape 0 1
  in scrape 1 stale
pdata 
  nothing
{__name__="target_info", a_b="c", deployment__environment="prod"}
native 
  nothing
pdata gauge "Target metadata" ""
  in scrape 0 1
`)
	f("exemplars", laneCase{format: "om", bodies: []string{`# TYPE c counter
c_total 1 # {TRACE_ID="0A",span_id="nothex"} 1 1700000000
# TYPE h histogram
h_bucket{le="1.0"} 1 # {a="b"} 2 1700000000
h_bucket{le="+Inf"} 1
h_sum 1
h_count 1
# EOF
`}}, `
{__name__="c_total"}
native counter "" ""
  in scrape 0 1 exemplar {TRACE_ID="0A", span_id="nothex"} 1 at 1700000000000
pdata counter "" ""
  in scrape 0 1 exemplar {span_id="nothex", trace_id="0000000000000000000000000000000a"} 1 at 1700000000000
{__name__="h_bucket", le="+Inf"}
native histogram "" ""
  in scrape 0 1
pdata histogram "" ""
  in scrape 0 1 exemplar {a="b"} 2 at 1700000000000
{__name__="h_bucket", le="1.0"}
native histogram "" ""
  in scrape 0 1 exemplar {a="b"} 2 at 1700000000000
pdata histogram "" ""
  in scrape 0 1
`)
	f("a scrape that fails half-way", laneCase{job: ", sample_limit: 2", bodies: []string{"a 1\nb 2\n", "a 1\nb 2\nc 3\n", "a 1\nb 2\n"}}, `
{__name__="a"}
native unknown "" ""
  in scrape 0 1
  in scrape 1 stale
  in scrape 2 1
pdata unknown "" ""
  in scrape 0 1
  in scrape 2 1
{__name__="b"}
native unknown "" ""
  in scrape 0 2
  in scrape 1 stale
  in scrape 2 2
pdata unknown "" ""
  in scrape 0 2
  in scrape 2 2
`)

	native, pdata := g.both(t)
	for name := range g.cases {
		check(name, native[name], pdata[name])
	}
}

func isReport(series string) bool {
	return strings.Contains(series, `__name__="up"`) || strings.Contains(series, `__name__="scrape_`)
}

func withoutMetadata(text string) string {
	_, rest, _ := strings.Cut(text, "\n")
	return rest
}

const nastyText = `# HELP requests Without _total, \\ and\nmore.
# TYPE requests counter
requests{code="200"} 1027
requests{code="500"} 3
# TYPE http_requests_total counter
http_requests_total{code="200",method="get"} 1.5
# HELP weird__name Two underscores.
# TYPE weird__name gauge
weird__name{__l__="1",_l="2",l__l="3",L="ü",empty=""} 21.5
weird__name{room="oven"} +Inf
weird__name{room="broken"} NaN
# TYPE job:rate:sum gauge
job:rate:sum 3
# TYPE latency_seconds histogram
latency_seconds_bucket{path="/a",le="1e-05"} 1
latency_seconds_bucket{path="/a",le="0.5"} 3
latency_seconds_bucket{path="/a",le="1"} 9
latency_seconds_bucket{path="/a",le="1e6"} 10
latency_seconds_bucket{path="/a",le="+Inf"} 12
latency_seconds_sum{path="/a"} 7.5
latency_seconds_count{path="/a"} 12
latency_seconds_bucket{path="/b",le="1.0"} 0
latency_seconds_bucket{path="/b",le="2"} 0
latency_seconds_bucket{path="/b",le="+Inf"} 0
latency_seconds_sum{path="/b"} 0
latency_seconds_count{path="/b"} 0
# TYPE low_seconds histogram
low_seconds_bucket{le="-1"} 3
low_seconds_bucket{le="0"} 4
low_seconds_bucket{le="+Inf"} 4
low_seconds_sum -7
low_seconds_count 4
# TYPE rpc_seconds summary
rpc_seconds{service="a",quantile="1"} 0.9
rpc_seconds{service="a",quantile="0.50"} 0.2
rpc_seconds_sum{service="a"} 17
rpc_seconds_count{service="a"} 40
rpc_seconds{service="idle",quantile="0.5"} NaN
rpc_seconds_sum{service="idle"} 0
rpc_seconds_count{service="idle"} 0
# TYPE bare_seconds summary
bare_seconds_sum 1
bare_seconds_count 2
# HELP odd Untyped with labels of other types.
# TYPE odd untyped
odd{le="1",quantile="0.5"} 1
odd{le="1.0"} 1
# HELP helped Without type.
helped 2
undeclared 3
undeclared_total 4
undeclared_bucket{le="1"} 5
plain 6
{"http.server.duration","http.route"="/ü","service.name"="x"} 7
# HELP bytes_ratio_seconds_total Many suffixes.
# TYPE bytes_ratio_seconds_total gauge
bytes_ratio_seconds_total 8
# TYPE a_info gauge
a_info{version="1"} 1
# TYPE scoped gauge
scoped{k="1",otel_scope_name="lib"} 2
scoped{k="1",otel_scope_name="lib",otel_scope_version="1.0"} 4
scoped{k="1",otel_scope_name="lib",otel_scope_version="1.0",otel_scope_schema_url="https://example.com/1",otel_scope_team__x="blue"} 5
scoped{k="1",otel_scope_team="red"} 7
otel_scope_info{otel_scope_name="lib",otel_scope_version="1.0",color="green"} 1
`

const nastyOpenMetrics = `# HELP requests Requests.
# TYPE requests counter
requests_total{path="/"} 5 # {trace_id="0102030405060708090a0b0c0d0e0f10",span_id="1112131415161718",user="ann"} 1
requests_created{path="/"} 1700000000.5
requests_total{path="/x"} 7 # {user="bob"} 2.5 1700000100.25
requests_created{path="/x"} 1700000001.123456
requests_total{path="/y"} 9
# HELP heat_joules Heat.
# TYPE heat_joules counter
# UNIT heat_joules joules
heat_joules_total 12
# TYPE speed_meters_per_second gauge
# UNIT speed_meters_per_second meters_per_second
speed_meters_per_second 3
# TYPE full_ratio gauge
# UNIT full_ratio ratio
full_ratio 0.5
# TYPE odd_things gauge
# UNIT odd_things things
odd_things 1
# HELP wait_seconds Wait.
# TYPE wait_seconds histogram
# UNIT wait_seconds seconds
wait_seconds_bucket{le="0.1"} 1 # {a="b"} 0.05
wait_seconds_bucket{le="1.0"} 3 # {a="b"} 0.7
wait_seconds_bucket{le="+Inf"} 4 # {} 7 1700000000
wait_seconds_count 4
wait_seconds_sum 5.5
wait_seconds_created 1700000003.25
# TYPE size_bytes summary
# UNIT size_bytes bytes
size_bytes{quantile="0.9"} 100
size_bytes_count 3
size_bytes_sum 210
size_bytes_created 1700000004
# HELP queue Queue lengths.
# TYPE queue gaugehistogram
queue_bucket{le="1.0"} 2
queue_bucket{le="+Inf"} 5
queue_gcount 5
queue_gsum 11
# HELP build About the build.
# TYPE build info
build_info{version="1.2",revision="abc"} 1
# HELP mode Which one.
# TYPE mode stateset
mode{mode="fast"} 1
mode{mode="slow"} 0
# HELP mystery Unknown.
# TYPE mystery unknown
mystery{a="1"} 9
# EOF
`

const nastyProto = `name: "requests_total" help: "Requests." type: COUNTER
metric { label { name: "k" value: "1" } counter { value: 4 exemplar { label { name: "trace" value: "01" } value: 1 timestamp { seconds: 1600000000 } } created_timestamp { seconds: 1600000000 } } }
---
name: "wait_seconds" help: "Wait." type: HISTOGRAM unit: "seconds"
metric {
  label { name: "k" value: "1" }
  histogram {
    sample_count: 19 sample_sum: 44.5 schema: 3 zero_threshold: 0.001 zero_count: 2
    positive_span { offset: -2 length: 2 } positive_span { offset: 3 length: 2 }
    positive_delta: 2 positive_delta: 1 positive_delta: -1 positive_delta: 2
    negative_span { offset: 1 length: 2 }
    negative_delta: 3 negative_delta: 0
    exemplars { label { name: "user" value: "ann" } value: 0.7 timestamp { seconds: 1600000001 } }
    created_timestamp { seconds: 1600000000 nanos: 250000000 }
  }
}
metric {
  label { name: "k" value: "empty" }
  histogram { sample_count: 0 sample_sum: 0 schema: 3 zero_threshold: 0 positive_span { offset: 0 length: 0 } }
}
---
name: "both_seconds" help: "Classic and native." type: HISTOGRAM
metric {
  histogram {
    sample_count: 3 sample_sum: 4
    bucket { cumulative_count: 1 upper_bound: 1 } bucket { cumulative_count: 3 upper_bound: inf }
    schema: 0 zero_threshold: 0.001 zero_count: 0
    positive_span { offset: 0 length: 2 } positive_delta: 1 positive_delta: 1
  }
}
---
name: "depth" help: "Gauge histogram." type: GAUGE_HISTOGRAM
metric {
  histogram {
    sample_count: 3 sample_sum: 4 schema: 0 zero_threshold: 0.001 zero_count: 0
    bucket { cumulative_count: 1 upper_bound: 1 } bucket { cumulative_count: 3 upper_bound: inf }
    positive_span { offset: 0 length: 2 } positive_delta: 1 positive_delta: 1
  }
}
---
name: "size" help: "Sizes." type: SUMMARY
metric { summary { sample_count: 3 sample_sum: 4 quantile { quantile: 0.5 value: nan } } }
---
name: "level" help: "Gauge." type: GAUGE
metric { gauge { value: -1 } }
---
name: "odd" help: "Untyped." type: UNTYPED
metric { untyped { value: 2 } }
`

const customText = `# HELP wait_seconds Wait.
# TYPE wait_seconds histogram
wait_seconds_bucket{k="1",le="0.1"} 1
wait_seconds_bucket{k="1",le="1"} 1
wait_seconds_bucket{k="1",le="5"} 4
wait_seconds_bucket{k="1",le="+Inf"} 6
wait_seconds_sum{k="1"} 20
wait_seconds_count{k="1"} 6
wait_seconds_bucket{k="empty",le="0.1"} 0
wait_seconds_bucket{k="empty",le="+Inf"} 0
wait_seconds_sum{k="empty"} 0
wait_seconds_count{k="empty"} 0
# TYPE a counter
a 1
`

const conflicts = `a{job="x",instance="y",exported_job="z"} 1
a{service_name="x"} 2
a{"service.name"="x","service.instance.id"="y","k8s.pod.name"="z"} 3
a{otel_scope_name="x",exported_otel_scope_name="y"} 4
`

const federation = `# TYPE a untyped
a{job="x",instance="one:1"} 1
a{job="x",instance="[::1]:2"} 2
a{job="y",instance="localhost:80"} 3
a{job="x/y"} 4
a{instance="noport"} 5
a 6
# TYPE latency histogram
latency_bucket{job="x",instance="one:1",le="1"} 1
latency_bucket{job="x",instance="one:1",le="+Inf"} 1
latency_bucket{job="y",instance="localhost:80",le="+Inf"} 2
latency_sum{job="x",instance="one:1"} 1
latency_sum{job="y",instance="localhost:80"} 2
latency_count{job="x",instance="one:1"} 1
latency_count{job="y",instance="localhost:80"} 2
up{job="x",instance="one:1"} 0
`
