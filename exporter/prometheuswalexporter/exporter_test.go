package prometheuswalexporter

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/internal/config/yamltext"
)

// testConfig returns a configuration with short delays.
func testConfig(t testing.TB, endpoint string) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.Endpoint = endpoint
	cfg.WAL.Directory = filepath.Join(t.TempDir(), "wal")
	cfg.Queue.BatchSendDeadline = 20 * time.Millisecond
	cfg.Retry.InitialInterval = 5 * time.Millisecond
	cfg.Retry.MaxInterval = 20 * time.Millisecond
	return cfg
}

// startExporter starts an exporter. It is stopped by stop or at the end of the test.
func startExporter(t testing.TB, cfg *Config) (e *walExporter, stop func()) {
	t.Helper()
	require.NoError(t, cfg.Validate())
	e, err := newExporter(exportertest.NewNopSettings(ownmetadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			require.NoError(t, e.Shutdown(context.Background()))
		}
	}
	t.Cleanup(stop)
	return e, stop
}

// isLive reports whether the shards have been given all that the log holds.
func (e *walExporter) isLive() bool { return e.queue.Stats().Mode == queue.Live }

// appendN commits one transaction with n series of value v at time ts.
func appendN(t testing.TB, e *walExporter, n int, ts int64, v float64) {
	t.Helper()
	app := e.AppenderV2(context.Background())
	for i := range n {
		_, err := app.Append(0, seriesLabels(i), 0, ts, v, nil, nil, storage.AOptions{})
		require.NoError(t, err)
	}
	require.NoError(t, app.Commit())
}

func seriesLabels(i int) labels.Labels {
	return labels.FromStrings("__name__", "requests_total", "instance", "a:1", "n", fmt.Sprint(i))
}

func TestDelivers(t *testing.T) {
	for _, m := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		t.Run(string(m), func(t *testing.T) {
			sink := newSink(t)
			cfg := testConfig(t, sink.url)
			cfg.ProtobufMessage = string(m)
			cfg.ExternalLabels = map[string]string{"cluster": "c1", "instance": "not this"}
			cfg.WriteRelabelConfigs = yamltext.Parts(
				map[string]any{"source_labels": []any{"n"}, "regex": "7", "action": "drop"},
				map[string]any{"source_labels": []any{"n"}, "target_label": "n", "replacement": "<$1>"},
			)
			e, _ := startExporter(t, cfg)
			app := e.AppenderV2(context.Background())
			refs := make([]storage.SeriesRef, 10)
			for i := range refs {
				ref, err := app.Append(0, seriesLabels(i), 0, 1000, float64(i)+.5, nil, nil, storage.AOptions{
					MetricFamilyName: "requests",
					Metadata:         metadata.Metadata{Type: model.MetricTypeCounter, Help: "Requests.", Unit: "requests"},
				})
				require.NoError(t, err)
				refs[i] = ref
			}
			require.NoError(t, app.Commit())
			app = e.AppenderV2(context.Background())
			for _, ref := range refs {
				got, err := app.Append(ref, labels.EmptyLabels(), 0, 2000, math.Float64frombits(value.StaleNaN), nil, nil, storage.AOptions{})
				require.NoError(t, err)
				require.Equal(t, ref, got)
			}
			require.NoError(t, app.Commit())
			sink.waitFor(t, 18)

			got := sink.series()
			require.Len(t, got, 9)
			s := got[`{__name__="requests_total", cluster="c1", instance="a:1", n="<3>"}`]
			require.Len(t, s.samples, 2)
			require.Equal(t, sample{1000, 3.5}, s.samples[0])
			require.True(t, value.IsStaleNaN(s.samples[1].v))
			if m == remotewrite.V2 {
				require.Equal(t, metadata.Metadata{Type: model.MetricTypeCounter, Help: "Requests.", Unit: "requests"}, s.metadata)
			} else {
				e.delivery.sendMetadata(context.Background())
				require.Equal(t, metadata.Metadata{Type: model.MetricTypeCounter, Help: "Requests.", Unit: "requests"}, sink.families()["requests"])
			}
		})
	}
}

func TestDeliversRareParts(t *testing.T) {
	for _, m := range []remotewrite.Message{remotewrite.V1, remotewrite.V2} {
		t.Run(string(m), func(t *testing.T) {
			sink := newSink(t)
			cfg := testConfig(t, sink.url)
			cfg.ProtobufMessage = string(m)
			e, _ := startExporter(t, cfg)
			h := &histogram.Histogram{
				Schema: 1, Count: 9, Sum: 18.5, ZeroThreshold: 1e-9, ZeroCount: 1,
				PositiveSpans:   []histogram.Span{{Offset: 0, Length: 2}, {Offset: 3, Length: 1}},
				PositiveBuckets: []int64{2, 1, 0},
				NegativeSpans:   []histogram.Span{},
			}
			nhcb := &histogram.FloatHistogram{
				Schema: histogram.CustomBucketsSchema, Count: 3, Sum: 4, CustomValues: []float64{1, 2.5},
				PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}}, PositiveBuckets: []float64{1, 2},
				NegativeSpans: []histogram.Span{},
			}
			app := e.AppenderV2(context.Background())
			ex := []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "abc", "é", ""), Value: 1.5, Ts: 900, HasTs: true}}
			_, err := app.Append(0, labels.FromStrings("__name__", "h"), 500, 1000, 0, h, nil, storage.AOptions{})
			require.NoError(t, err)
			_, err = app.Append(0, labels.FromStrings("__name__", "nhcb"), 0, 1000, 0, nil, nhcb, storage.AOptions{})
			require.NoError(t, err)
			_, err = app.Append(0, labels.FromStrings("__name__", "c", "ü.x", "1"), 400, 1000, 2, nil, nil, storage.AOptions{Exemplars: ex})
			require.NoError(t, err)
			require.NoError(t, app.Commit())
			sink.waitFor(t, 3)

			got := sink.series()
			require.Equal(t, h, got[`{__name__="h"}`].histograms[0].ToIntHistogram())
			require.Equal(t, nhcb, got[`{__name__="nhcb"}`].histograms[0].ToFloatHistogram())
			c := got[`{__name__="c", "ü.x"="1"}`]
			require.Equal(t, []sample{{1000, 2}}, c.samples)
			require.Len(t, c.exemplars, 1)
			require.InDelta(t, 1.5, c.exemplars[0].Value, 0)
			require.Equal(t, int64(900), c.exemplars[0].Ts)
			require.Equal(t, "abc", c.exemplars[0].Labels.Get("trace_id"))
			if m == remotewrite.V2 {
				require.Equal(t, int64(400), c.start)
				require.Equal(t, int64(500), got[`{__name__="h"}`].start)
			}
		})
	}
}

// Samples that were not acknowledged are sent after a restart.
func TestReplaysAfterRestart(t *testing.T) {
	sink := newSink(t)
	sink.answer = func(*http.Request) int { return http.StatusServiceUnavailable }
	cfg := testConfig(t, sink.url)
	cfg.WAL.SegmentSize = 1 << 20
	e, stop := startExporter(t, cfg)
	for i := range 200 {
		appendN(t, e, 300, int64(1000+i), float64(i))
	}
	stop()
	require.Empty(t, sink.series())

	sink.setAnswer(nil)
	e, stop = startExporter(t, cfg)
	appendN(t, e, 300, 5000, 77)
	sink.waitFor(t, 201*300)
	got := sink.series()
	require.Len(t, got, 300)
	for name, s := range got {
		require.Len(t, s.samples, 201, name)
		for i := range 200 {
			require.Equal(t, sample{int64(1000 + i), float64(i)}, s.samples[i], name)
		}
		require.Equal(t, sample{5000, 77}, s.samples[200])
	}
	stop()

	// Nothing is left: a third run sends only new samples.
	sink.reset()
	e, _ = startExporter(t, cfg)
	appendN(t, e, 1, 6000, 1)
	sink.waitFor(t, 1)
	require.Len(t, sink.series(), 1)
	require.Len(t, sink.series()[seriesLabels(0).String()].samples, 1)
}

// While the endpoint lags, the exporter reads from its log. All samples arrive in
// order, and the queues stay bounded.
func TestCatchesUp(t *testing.T) {
	sink := newSink(t)
	sink.answer = func(*http.Request) int { return http.StatusTooManyRequests }
	cfg := testConfig(t, sink.url)
	cfg.Queue.MaxSamplesPerSend = 100
	cfg.Queue.Shards = 3
	cfg.WAL.SegmentSize = 1 << 20
	e, _ := startExporter(t, cfg)
	const series, rounds = 2000, 100
	for i := range rounds {
		appendN(t, e, series, int64(1000+i), float64(i))
		if i == rounds/2 {
			sink.setAnswer(nil) // the other rounds follow while it catches up
		}
	}
	require.LessOrEqual(t, e.queue.Stats().Waiting, 3*(200+queue.MaxRecordSamples))
	sink.waitFor(t, series*rounds)
	for name, s := range sink.series() {
		require.Len(t, s.samples, rounds, name)
		for i := range rounds {
			require.Equal(t, int64(1000+i), s.samples[i].t, name)
		}
	}
	waitSettled(t, e.queue)
}
