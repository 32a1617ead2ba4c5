package prometheusscrapereceiver

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
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

// endpoint receives remote write 2.0 and keeps each sample as text.
type endpoint struct {
	mu      sync.Mutex
	samples map[string][]written // by series
	meta    map[string]string
}

type written struct {
	at   int64
	text string
	ex   []string // "AT" stands for the time of the sample
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
	samples, histograms := e.add(&req)
	w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", fmt.Sprint(samples))
	w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", fmt.Sprint(histograms))
	w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "0")
	w.WriteHeader(http.StatusNoContent)
}

func (e *endpoint) add(req *writev2.Request) (samples, histograms int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := labels.NewScratchBuilder(0)
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&b, req.Symbols)
		if err != nil {
			continue // Prometheus would refuse it
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

// text renders the samples of the first n scrapes of a case by series. Times of scrapes are
// replaced by their numbers.
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
				text = "another time"
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

// laneGroup holds cases that are scraped at the same time.
type laneGroup struct {
	global   string
	receiver string
	exporter map[string]any
	cases    map[string]laneCase
}

// caseLabel identifies the case of a series.
func caseLabel(name string) string { return fmt.Sprintf("case=%q", name) }

// run scrapes the servers of all cases until enough samples have been exported, and returns
// them by case and series.
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

// laneCase holds expositions that are scraped in turn, with the settings.
type laneCase struct {
	bodies []string
	format string // of the bodies: text unless om or proto
	job    string // more keys of the job, after a comma
}

// serve answers with the bodies in turn, and then with the last one.
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

// laneFile returns an exposition from testdata.
func laneFile(t *testing.T, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "lanes", name))
	require.NoError(t, err)
	return string(body)
}

// encode converts families in text to the protobuf format.
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

// processor stands for processors: it encodes and decodes scrapes, and batches two of them.
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
