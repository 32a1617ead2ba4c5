package prometheuswalexporter

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/exporter/exportertest"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// benchPath is startPath without a receive function.
func benchPath(b *testing.B, cfg *Config) (e *walExporter, stop func()) {
	b.Helper()
	return startPath(b, cfg, nil)
}

// startPath starts an exporter whose queue delivers to receive, if it is not nil,
// instead of an endpoint. Everything is acknowledged at once. stop waits until the
// queue is empty.
func startPath(b testing.TB, cfg *Config, receive func(r *queue.Request, it *remotewrite.Item, name string)) (e *walExporter, stop func()) {
	b.Helper()
	e, err := newExporter(exportertest.NewNopSettings(ownmetadata.Type), cfg)
	require.NoError(b, err)
	e.queue, err = queue.Open(e.queueSettings(func(_ context.Context, r *queue.Request) queue.Result {
		if receive == nil {
			return queue.Settled
		}
		view := e.table.View()
		defer view.Close()
		for _, part := range r.Items {
			for i := range part {
				receive(r, &part[i], view.Name(part[i].Slot))
			}
		}
		return queue.Settled
	}))
	require.NoError(b, err)
	e.queue.Start()
	require.Eventually(b, e.isLive, time.Minute, time.Millisecond)
	return e, func() {
		require.NoError(b, e.queue.Close(context.Background()))
		e.tel.close()
	}
}

const benchSeries = 2000

// appendRound commits a sample of each series, by reference if it is known.
func appendRound(b *testing.B, e *walExporter, refs []storage.SeriesRef, ls []labels.Labels, t int64) {
	app := e.newAppender()
	for i := range refs {
		var err error
		if refs[i] == 0 {
			refs[i], err = app.Append(0, ls[i], 0, t, float64(t), nil, nil, storage.AOptions{})
		} else {
			_, err = app.Append(refs[i], labels.EmptyLabels(), 0, t, float64(t), nil, nil, storage.AOptions{})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := app.Commit(); err != nil {
		b.Fatal(err)
	}
}

func benchLabels() []labels.Labels {
	ls := make([]labels.Labels, benchSeries)
	for i := range ls {
		ls[i] = seriesLabels(i)
	}
	return ls
}

// keepLive lets the shards run, or the queue would fall behind and only its log
// would be measured.
func keepLive(q *queue.Queue) {
	for s := q.Stats(); s.Waiting > s.Capacity/2; s = q.Stats() {
		runtime.Gosched()
	}
}

// BenchmarkAppend measures a scrape of known series: append, encode, write to the
// log and push to the shards.
func BenchmarkAppend(b *testing.B) {
	cfg := testConfig(b, "http://localhost")
	e, stop := benchPath(b, cfg)
	defer stop()
	refs, ls := make([]storage.SeriesRef, benchSeries), benchLabels()
	appendRound(b, e, refs, ls, 1)
	b.ReportAllocs()
	at := int64(1)
	for b.Loop() {
		at++
		appendRound(b, e, refs, ls, at*1000)
		keepLive(e.queue)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchSeries, "ns/sample")
}
