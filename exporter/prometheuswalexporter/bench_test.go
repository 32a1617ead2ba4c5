package prometheuswalexporter

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/exporter/exportertest"

	ownmetadata "github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/metadata"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// benchPath is startPath for what takes all.
func benchPath(b *testing.B, cfg *Config) (e *walExporter, stop func()) {
	b.Helper()
	return startPath(b, cfg, nil)
}

// startPath is an exporter from Append to the queues, without requests: what
// reaches a queue is given to take, if there is one, and acknowledged at once.
// stop waits for the queues.
func startPath(b testing.TB, cfg *Config, take func(s *shard, it *remotewrite.Item, name string)) (e *walExporter, stop func()) {
	b.Helper()
	e, err := newExporter(exportertest.NewNopSettings(ownmetadata.Type), cfg)
	require.NoError(b, err)
	w := &writer{table: e.table, tel: e.tel, behind: make(chan struct{}, 1)}
	e.writer, e.disk.w = w, w
	require.NoError(b, e.disk.open())
	room := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for range cfg.Queue.Shards {
		s := newShard(shardSettings{
			capacity: 2 * cfg.Queue.MaxSamplesPerSend, batch: cfg.Queue.MaxSamplesPerSend, deadline: cfg.Queue.BatchSendDeadline,
			deliver: func(_ context.Context, s *shard, items [2][]remotewrite.Item) bool {
				if take == nil {
					return true
				}
				view := e.table.View()
				defer view.Close()
				for _, part := range items {
					for i := range part {
						take(s, &part[i], view.Name(part[i].Slot))
					}
				}
				return true
			},
			now: e.now, roomFreed: room,
		}, w.cursor)
		w.shards = append(w.shards, s)
		wg.Go(func() { s.run(context.Background()) })
	}
	w.replaying = &replayer{w: w, dir: e.disk.dir, logger: e.logger, room: room, now: e.now}
	return e, func() {
		for _, s := range w.shards {
			s.startFlush()
		}
		wg.Wait()
		require.NoError(b, e.disk.close())
		require.NoError(b, e.tel.close())
	}
}

const benchSeries = 2000

// appendRound commits a sample of each series, by reference where it is known.
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

// BenchmarkAppend is a scrape of known series: append, encode, write to the
// log, hand to the queues.
func BenchmarkAppend(b *testing.B) {
	cfg := testConfig(b, "http://localhost")
	e, stop := benchPath(b, cfg)
	defer stop()
	e.writer.live = true
	refs, ls := make([]storage.SeriesRef, benchSeries), benchLabels()
	appendRound(b, e, refs, ls, 1)
	b.ReportAllocs()
	at := int64(1)
	for b.Loop() {
		at++
		appendRound(b, e, refs, ls, at*1000)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchSeries, "ns/sample")
}

// BenchmarkReplay reads a million unsent samples back into the queues, series
// included.
func BenchmarkReplay(b *testing.B) {
	cfg := testConfig(b, "http://localhost")
	e, stop := benchPath(b, cfg)
	refs, ls := make([]storage.SeriesRef, benchSeries), benchLabels()
	const rounds = 500
	for i := range rounds {
		appendRound(b, e, refs, ls, int64(i+1)*1000)
	}
	stop()
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, os.Remove(filepath.Join(cfg.WAL.Directory, "position")))
		e, stop := benchPath(b, cfg)
		require.True(b, e.writer.replaying.catchUp(context.Background()))
		stop()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rounds*benchSeries), "ns/sample")
}
