package fleet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/remoteconf"
)

// benchFleet returns a fleet of 1,000 collectors and 50 pipelines. Each collector gets
// about a dozen of them.
func benchFleet(b *testing.B) (*Fleet, []Sighting) {
	b.Helper()
	folder := b.TempDir()
	for i := range 50 {
		content := fmt.Sprintf("matchers: ['env=~\"env-(%d|%d)\"', 'collector.os=\"linux\"']\n", i%8, (i+1)%8) + body(fmt.Sprint(i))
		require.NoError(b, os.WriteFile(filepath.Join(folder, fmt.Sprintf("p%02d.yaml", i)), []byte(content), 0o600))
	}
	f, err := Open(Settings{Folder: folder, StateFile: filepath.Join(b.TempDir(), "fleet.db")})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, f.Close()) })
	sightings := make([]Sighting, 1000)
	for i := range sightings {
		s := Sighting{
			ID: fmt.Sprintf("collector-%04d", i), Transport: TransportConnect, Address: fmt.Sprintf("10.0.%d.%d:40000", i/256, i%256),
			Attributes: map[string]string{
				"env": fmt.Sprint("env-", i%8), "collector.os": "linux", "collector.arch": "amd64", "collector.version": "1.0.0",
				"host.name": fmt.Sprint("node-", i), "k8s.cluster.name": "west", "team": fmt.Sprint("team-", i%20), "zone": "a",
			},
		}
		offer, err := f.Seen(b.Context(), s)
		require.NoError(b, err)
		s.Hash, s.Status = offer.Hash, remoteconf.StatusApplied
		sightings[i] = s
	}
	for _, s := range sightings {
		_, err := f.Seen(b.Context(), s)
		require.NoError(b, err)
	}
	return f, sightings
}

// BenchmarkSeen measures a poll with nothing new.
func BenchmarkSeen(b *testing.B) {
	f, sightings := benchFleet(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := f.Seen(context.Background(), sightings[i%len(sightings)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkSeenParallel measures the same from many connections.
func BenchmarkSeenParallel(b *testing.B) {
	f, sightings := benchFleet(b)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := f.Seen(context.Background(), sightings[i%len(sightings)]); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkSeenNew measures the first poll of collectors, 64 at a time: each is saved
// before it is answered.
func BenchmarkSeenNew(b *testing.B) {
	f, _ := benchFleet(b)
	f.state.registry.maxCollectors = 1 << 30
	b.SetParallelism(32)
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s := Sighting{ID: fmt.Sprint("new-", next.Add(1)), Attributes: map[string]string{"env": "env-1", "collector.os": "linux"}}
			if _, err := f.Seen(context.Background(), s); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkDecide measures the first poll after a pipeline changed.
func BenchmarkDecide(b *testing.B) {
	f, sightings := benchFleet(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if i%len(sightings) == 0 {
			f.mu.Lock()
			f.state.offersChanged()
			f.mu.Unlock()
		}
		if _, err := f.Seen(context.Background(), sightings[i%len(sightings)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkPipelines measures the request that the page sends every few seconds.
func BenchmarkPipelines(b *testing.B) {
	f, _ := benchFleet(b)
	b.ReportAllocs()
	for b.Loop() {
		if len(f.Pipelines()) != 50 {
			b.Fatal("pipelines are missing")
		}
	}
}
