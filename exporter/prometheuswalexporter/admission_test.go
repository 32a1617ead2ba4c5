package prometheuswalexporter

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
)

// prefix is that of the exporter's own metrics.
const prefix = "otelcol_exporter_prometheus_wal_"

// watched is an exporter with access to its metrics and its log.
type watched struct {
	*walExporter
	tel  *componenttest.Telemetry
	logs *observer.ObservedLogs
}

func startWatched(t testing.TB, cfg *Config) *watched {
	t.Helper()
	require.NoError(t, cfg.Validate())
	tel := componenttest.NewTelemetry()
	set := exportertest.NewNopSettings(ownmetadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	set.ID = component.NewID(ownmetadata.Type)
	core, logs := observer.New(zap.InfoLevel)
	set.Logger = zap.New(core)
	e, err := newExporter(set, cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		require.NoError(t, e.Shutdown(context.Background()))
		require.NoError(t, tel.Shutdown(context.Background()))
	})
	return &watched{e, tel, logs}
}

// byReason returns a counter's values by the attribute reason.
func (w *watched) byReason(name string) map[string]int64 {
	counts := map[string]int64{}
	m, err := w.tel.GetMetric(prefix + name)
	if err != nil {
		return counts // nothing recorded
	}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		reason, _ := p.Attributes.Value(attribute.Key("reason"))
		counts[reason.AsString()] += p.Value
	}
	return counts
}

func (w *watched) logged(text string) int {
	return len(slices.DeleteFunc(w.logs.All(), func(e observer.LoggedEntry) bool { return !strings.Contains(e.Message, text) }))
}

// The exporter sends the samples that Prometheus' appenders accept, and no others,
// for scraped samples and for OTLP.
func TestAdmission(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	type in struct {
		t      int64
		v      float64
		strict bool
	}
	for _, c := range []struct {
		name    string
		window  time.Duration
		in      []in
		scraped []sample
		otlp    []sample
		dropped map[string]int64 // of scraped
		logged  int              // of scraped
	}{
		{name: "in order", in: []in{{t: 1}, {t: 2}}, scraped: []sample{{1, 0}, {2, 0}}, otlp: []sample{{1, 0}, {2, 0}}},
		{
			name: "back in time", in: []in{{t: 2000}, {t: 1500}, {t: 3000}},
			scraped: []sample{{2000, 0}, {3000, 0}}, otlp: []sample{{2000, 0}, {1500, 0}, {3000, 0}},
			dropped: map[string]int64{"out_of_order": 1}, logged: 1,
		},
		{
			name: "back in time within the window", window: time.Second, in: []in{{t: 2000}, {t: 1001}, {t: 1000}, {t: 1500, strict: true}},
			scraped: []sample{{2000, 0}, {1001, 0}}, otlp: []sample{{2000, 0}, {1001, 0}, {1000, 0}},
			dropped: map[string]int64{"out_of_order": 2}, logged: 1,
		},
		{
			name: "two times, each time", in: []in{{t: 1, v: 1}, {t: 2, v: 2}, {t: 1, v: 1}, {t: 2, v: 2}, {t: 1, v: 1}, {t: 2, v: 2}},
			scraped: []sample{{1, 1}, {2, 2}}, otlp: []sample{{1, 1}, {2, 2}, {1, 1}, {1, 1}},
			dropped: map[string]int64{"out_of_order": 2}, logged: 1,
		},
		{name: "the same again", in: []in{{t: 1, v: 5}, {t: 1, v: 5}}, scraped: []sample{{1, 5}}, otlp: []sample{{1, 5}}},
		{
			name: "another value", in: []in{{t: 1, v: 5}, {t: 1, v: 6}, {t: 1, v: math.Copysign(0, -1)}},
			scraped: []sample{{1, 5}}, otlp: []sample{{1, 5}},
			dropped: map[string]int64{"duplicate": 2}, logged: 1,
		},
		{name: "the epoch", in: []in{{t: 0, v: 7}, {t: 0, v: 7}, {t: 1}}, scraped: []sample{{0, 7}, {1, 0}}, otlp: []sample{{0, 7}, {1, 0}}},
		{
			name: "before the epoch", in: []in{{t: -5000, v: 7}, {t: -4000}, {t: -4500}, {t: 0}},
			scraped: []sample{{-5000, 7}, {-4000, 0}, {0, 0}}, otlp: []sample{{-5000, 7}, {-4000, 0}, {-4500, 0}, {0, 0}},
			dropped: map[string]int64{"out_of_order": 1}, logged: 1,
		},
		{
			name: "the ends of time", in: []in{{t: 1}, {t: math.MinInt64 + 1}, {t: 2}},
			scraped: []sample{{1, 0}, {2, 0}}, otlp: []sample{{1, 0}, {math.MinInt64 + 1, 0}, {2, 0}},
			dropped: map[string]int64{"out_of_order": 1}, logged: 1,
		},
		{
			name: "a late staleness marker", in: []in{{t: 1000, v: 1}, {t: 900, v: stale}, {t: 1000, v: stale}},
			scraped: []sample{{1000, 1}}, otlp: []sample{{1000, 1}},
			dropped: map[string]int64{"out_of_order": 1, "duplicate": 1}, logged: 1,
		},
	} {
		for _, lane := range []string{"scraped", "otlp"} {
			t.Run(c.name+" "+lane, func(t *testing.T) {
				t.Parallel()
				sink := newSink(t)
				cfg := testConfig(t, sink.url)
				cfg.OutOfOrderTimeWindow = c.window
				e := startWatched(t, cfg)
				ls, want := labels.FromStrings("__name__", "x"), c.scraped
				for _, s := range c.in { // each in a transaction of its own, and then a last one
					app := e.newAppender()
					if app.order = queue.WithinWindow; lane != "scraped" {
						app.order, want = queue.AnyOrder, c.otlp
					}
					_, err := app.Append(0, ls, 0, s.t, s.v, nil, nil, storage.AOptions{RejectOutOfOrder: s.strict})
					require.NoError(t, err)
					require.NoError(t, app.Commit())
				}
				sink.waitFor(t, len(want))
				require.Equal(t, want, sink.series()[ls.String()].samples)
				if lane != "scraped" {
					return
				}
				if c.dropped == nil {
					c.dropped = map[string]int64{}
				}
				require.Equal(t, c.dropped, e.byReason("dropped_samples"))
				require.Equal(t, c.logged, e.logged("Dropped samples"))
			})
		}
	}
}

// Samples of a client whose clock was ahead do not block later samples.
func TestDistantFutureIsNotTheNewest(t *testing.T) {
	sink := newSink(t)
	e, _ := startExporter(t, testConfig(t, sink.url))
	ls, now := labels.FromStrings("__name__", "x"), time.Now().UnixMilli()
	app := e.newAppender()
	for _, at := range []int64{now, now + 24*3600_000, now + 1, now + 2} {
		_, err := app.Append(0, ls, 0, at, 1, nil, nil, storage.AOptions{RejectOutOfOrder: true})
		require.NoError(t, err)
	}
	require.NoError(t, app.Commit())
	sink.waitFor(t, 4)
}

// An invalid histogram is dropped without effect on other samples.
func TestInvalidHistograms(t *testing.T) {
	valid := &histogram.Histogram{
		Schema: 1, Count: 3, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1, 1},
	}
	invalid := map[string]func(h *histogram.Histogram){
		"count":       func(h *histogram.Histogram) { h.Count = 2 },
		"negative":    func(h *histogram.Histogram) { h.PositiveBuckets = []int64{1, -3}; h.Count = 1 },
		"span offset": func(h *histogram.Histogram) { h.PositiveSpans = []histogram.Span{{Length: 1}, {Offset: -1, Length: 1}} },
		"span length": func(h *histogram.Histogram) { h.PositiveSpans[0].Length = 3 },
		"schema":      func(h *histogram.Histogram) { h.Schema = 99 },
		"custom buckets": func(h *histogram.Histogram) {
			h.Schema = histogram.CustomBucketsSchema
			h.CustomValues = []float64{2, 1}
		},
	}
	sink := newSink(t)
	e := startWatched(t, testConfig(t, sink.url))
	app := e.AppenderV2(context.Background())
	for name, invalidate := range invalid {
		h := valid.Copy()
		invalidate(h)
		_, err := app.Append(0, labels.FromStrings("__name__", "h", "case", name), 0, 1000, 0, h, nil, storage.AOptions{})
		require.NoError(t, err)
		if name == "count" {
			continue // the counts of float histograms need not agree
		}
		_, err = app.Append(0, labels.FromStrings("__name__", "f", "case", name), 0, 1000, 0, nil, h.ToFloat(nil), storage.AOptions{})
		require.NoError(t, err)
	}
	_, err := app.Append(0, labels.FromStrings("__name__", "good"), 0, 1000, 0, valid, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	require.Eventually(t, func() bool { return len(sink.series()) > 0 }, time.Minute, time.Millisecond)
	require.Equal(t, []string{`{__name__="good"}`}, slices.Collect(maps.Keys(sink.series())))
	require.Equal(t, map[string]int64{"invalid_histogram": 11}, e.byReason("dropped_samples"))
	require.Equal(t, 1, e.logged("Dropped invalid native histograms"))
}

// An exemplar is sent once, however often it is scraped, and whether or not it
// has a time of its own.
func TestExemplarsAreSentOnce(t *testing.T) {
	at := func(ts int64, v float64, id string) exemplar.Exemplar {
		return exemplar.Exemplar{Labels: labels.FromStrings("trace_id", id), Value: v, Ts: ts, HasTs: true}
	}
	without := func(scrape int64, v float64, id string) exemplar.Exemplar {
		x := at(scrape, v, id)
		x.HasTs = false
		return x
	}
	long := strings.Repeat("é", 121)
	for _, c := range []struct {
		name    string
		scrapes [][]exemplar.Exemplar
		want    []string // trace ids
		dropped map[string]int64
	}{
		{"with a time", [][]exemplar.Exemplar{{at(900, 1, "a")}, {at(900, 1, "a")}, {at(900, 1, "a")}}, []string{"a"}, nil},
		{"without", [][]exemplar.Exemplar{{without(1, 1, "a")}, {without(2, 1, "a")}, {without(3, 1, "a")}}, []string{"a"}, nil},
		{"then with", [][]exemplar.Exemplar{{without(1, 1, "a")}, {at(2, 1, "a")}, {at(2, 1, "a")}}, []string{"a", "a"}, nil},
		{"another value", [][]exemplar.Exemplar{{without(1, 1, "a")}, {without(2, 2, "a")}}, []string{"a", "a"}, nil},
		{"another and back", [][]exemplar.Exemplar{{without(1, 1, "a")}, {without(2, 1, "b")}, {without(3, 1, "a")}}, []string{"a", "b", "a"}, nil},
		{
			"several at a time, as in native histograms",
			[][]exemplar.Exemplar{{at(3, 3, "c"), at(1, 1, "a"), at(2, 2, "b")}, {at(1, 1, "a"), at(2, 2, "b"), at(3, 3, "c")}, {at(2, 2, "b"), at(3, 3, "c"), at(4, 0, "d")}},
			[]string{"a", "b", "c", "d"}, map[string]int64{"out_of_order": 3},
		},
		{"buckets of one time", [][]exemplar.Exemplar{{at(5, 1, "a"), at(5, 2, "b")}, {at(5, 1, "a"), at(5, 2, "b")}}, []string{"a", "b"}, map[string]int64{"out_of_order": 1}},
		{"older", [][]exemplar.Exemplar{{at(5, 1, "a")}, {at(4, 1, "b")}, {at(0, 1, "c")}}, []string{"a"}, map[string]int64{"out_of_order": 2}},
		{"of the epoch", [][]exemplar.Exemplar{{at(0, 1, "a")}, {at(0, 1, "a")}}, []string{"a"}, nil},
		{"128 characters", [][]exemplar.Exemplar{{at(1, 1, long[:240])}}, []string{long[:240]}, nil},
		{"129 characters", [][]exemplar.Exemplar{{at(1, 1, long), at(2, 1, "b")}}, []string{"b"}, map[string]int64{"invalid": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sink := newSink(t)
			e := startWatched(t, testConfig(t, sink.url))
			ls := labels.FromStrings("__name__", "x")
			for i, xs := range c.scrapes {
				app := e.AppenderV2(context.Background())
				_, err := app.Append(0, ls, 0, int64(1000+i), 1, nil, nil, storage.AOptions{Exemplars: xs})
				require.NoError(t, err)
				require.NoError(t, app.Commit())
			}
			sink.waitFor(t, len(c.scrapes))
			var got []string
			for _, x := range sink.series()[ls.String()].exemplars {
				got = append(got, x.Labels.Get("trace_id"))
			}
			require.Equal(t, c.want, got)
			if c.dropped == nil {
				c.dropped = map[string]int64{}
			}
			require.Equal(t, c.dropped, e.byReason("dropped_exemplars"))
		})
	}
}
