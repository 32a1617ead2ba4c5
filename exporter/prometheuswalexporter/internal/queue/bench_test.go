package queue

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkReplay reads a million unsent samples back into the shards, series
// included.
func BenchmarkReplay(b *testing.B) {
	const rounds, perRound = 500, 2000
	set := testSettings(b)
	q, err := Open(set)
	require.NoError(b, err)
	batch := Batch{Samples: make([]Sample, perRound)}
	for i := range batch.Samples {
		batch.Samples[i].Slot = slotOf(set.Table, "requests_total", i)
	}
	for round := range rounds {
		for i := range batch.Samples {
			batch.Samples[i].T, batch.Samples[i].V = int64(round+1)*1000, float64(round+1)*1000
		}
		require.NoError(b, q.Commit(&batch))
	}
	require.NoError(b, q.Close(b.Context()))
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, os.Remove(filepath.Join(set.Dir, "position")))
		next := testSettings(b)
		next.Dir = set.Dir
		q, err := Open(next)
		require.NoError(b, err)
		for _, s := range q.shards {
			q.sending.start(s.run)
		}
		require.NoError(b, q.catchUp(context.Background()))
		require.Equal(b, Live, q.Stats().Mode)
		require.NoError(b, q.Close(b.Context()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(rounds*perRound), "ns/sample")
}
