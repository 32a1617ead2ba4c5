package queue

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/dirlock"
	"github.com/invar-otel/invar/internal/wal/seglog"
	"github.com/invar-otel/invar/internal/wal/walposition"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dropCounter is an Observer that counts dropped samples and ignores the rest.
type dropCounter struct {
	mu    sync.Mutex
	drops map[string]int
}

func (o *dropCounter) Dropped(reason string, samples int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if samples > 0 {
		o.drops[reason] += samples
	}
}
func (*dropCounter) DroppedExemplars(string, int) {}
func (o *dropCounter) NotAdmitted(reason string, samples int, _ func() string) {
	o.Dropped(reason, samples)
}
func (*dropCounter) NotLogged(int)      {}
func (*dropCounter) Replayed(int)       {}
func (*dropCounter) Damaged(int)        {}
func (*dropCounter) AppendFailed(error) {}
func (*dropCounter) SaveFailed(error)   {}
func (*dropCounter) DeleteFailed(error) {}
func (*dropCounter) LogHealth(error)    {}

// testSettings are those of a queue whose endpoint accepts everything at once.
func testSettings(t testing.TB) Settings {
	return Settings{
		Dir: filepath.Join(t.TempDir(), "wal"), Owner: "test",
		MaxSize: 1 << 30, MaxAge: time.Hour, SegmentSize: 128 << 20, FsyncInterval: time.Second,
		Shards: 4, MaxSamplesPerSend: 5000, BatchSendDeadline: 20 * time.Millisecond,
		Table:    series.NewTable(time.Now()),
		Deliver:  func(context.Context, *Request) Result { return Settled },
		Observer: &dropCounter{drops: map[string]int{}},
		Logger:   zap.NewNop(), Now: time.Now,
	}
}

// startQueue runs a queue until the test ends.
func startQueue(t testing.TB, set Settings) *Queue {
	t.Helper()
	q, err := Open(set)
	require.NoError(t, err)
	q.Start()
	t.Cleanup(func() { require.NoError(t, q.Close(context.Background())) })
	require.Eventually(t, func() bool { return q.Stats().Mode == Live }, time.Minute, time.Millisecond)
	return q
}

func slotOf(table *series.Table, name string, n int) series.Slot {
	return table.Intern(labels.FromStrings("__name__", name, "instance", "a:1", "n", fmt.Sprint(n)), false, table.Clock(time.Now())).Slot()
}

// A sample that was refused for lack of room is accepted when it is sent again.
func TestRefusedSamplesMayComeAgain(t *testing.T) {
	set := testSettings(t)
	var mu sync.Mutex
	var sent []remotewrite.Item
	set.Deliver = func(_ context.Context, r *Request) Result {
		mu.Lock()
		defer mu.Unlock()
		sent = append(append(sent, r.Items[0]...), r.Items[1]...)
		return Settled
	}
	q := startQueue(t, set)
	sample := Sample{Slot: slotOf(set.Table, "x", 0), T: 1000, V: 1}
	commit := func() error { return q.Commit(&Batch{Samples: []Sample{sample}}) }
	q.mu.Lock()
	dir := q.dir
	q.dir, q.mode = nil, Replaying
	q.mu.Unlock()
	require.ErrorContains(t, commit(), "the write-ahead log cannot take samples")
	q.mu.Lock()
	q.dir, q.mode = dir, Live
	q.mu.Unlock()
	require.NoError(t, commit())
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(sent) > 0 }, time.Minute, time.Millisecond)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []remotewrite.Item{{Slot: sample.Slot, T: 1000, V: 1}}, sent)
}

// Exemplars are forgotten together with their series.
func TestExemplarsAreForgotten(t *testing.T) {
	set := testSettings(t)
	q := startQueue(t, set)
	var b Batch
	for i := range 100 {
		b.Extras = append(b.Extras, Extra{
			Extra:       remotewrite.Extra{Exemplars: []walrecord.Exemplar{{T: 1, V: 1}}},
			ExemplarIDs: []ExemplarID{{Labels: 7}},
		})
		b.Samples = append(b.Samples, Sample{Slot: slotOf(set.Table, "requests_total", i), Extra: uint32(i + 1), T: 1000, V: 1})
	}
	require.NoError(t, q.Commit(&b))
	require.Eventually(t, func() bool { return q.Stats().Waiting == 0 }, time.Minute, time.Millisecond)
	q.mu.Lock()
	require.Len(t, q.admission.exemplars, 100)
	q.mu.Unlock()
	q.sweep(time.Now().Add(2 * sweepAfter))
	require.Equal(t, 0, set.Table.Len())
	q.mu.Lock()
	defer q.mu.Unlock()
	require.Empty(t, q.admission.exemplars)
}

// The saved position is never in a deleted segment: whoever reads the directory
// would take the segment for a lost one.
func TestPositionLeavesDeletedSegments(t *testing.T) {
	set := testSettings(t)
	set.SegmentSize, set.Shards = 1, 1 // a segment for each record
	block := make(chan struct{})
	var requests atomic.Int32
	set.Deliver = func(_ context.Context, _ *Request) Result {
		if requests.Add(1) > 1 {
			<-block
		}
		return Settled
	}
	q := startQueue(t, set)
	defer close(block)
	commit := func(ts int64) {
		require.NoError(t, q.Commit(&Batch{Samples: []Sample{{Slot: slotOf(set.Table, "x", 0), T: ts, V: 1}}}))
	}
	commit(1000)
	require.Eventually(t, func() bool { return q.Stats().Waiting == 0 }, time.Minute, time.Millisecond)
	first := q.Stats().Log.First
	commit(2000) // in the next segment; the shard has acknowledged up to the end of the first
	require.Eventually(t, func() bool { return q.Stats().Log.First > first }, time.Minute, time.Millisecond)
	require.Equal(t, 1, q.Stats().Waiting)
	pos, saved, err := walposition.Read(set.Dir)
	require.NoError(t, err)
	require.True(t, saved)
	require.Equal(t, seglog.Position{Segment: q.Stats().Log.First}, pos)
}

// A queue that was never started can be closed. The next one sends its samples.
func TestCloseWithoutStart(t *testing.T) {
	set := testSettings(t)
	q, err := Open(set)
	require.NoError(t, err)
	require.NoError(t, q.Commit(&Batch{Samples: []Sample{{Slot: slotOf(set.Table, "x", 0), T: 1000, V: 1}}}))
	s := q.Stats()
	require.Equal(t, Replaying, s.Mode)
	require.True(t, s.Unsent.Less(s.End))

	_, err = Open(set)
	var locked *dirlock.LockedError
	require.ErrorAs(t, err, &locked)
	require.NoError(t, q.Close(context.Background()))
	require.ErrorIs(t, q.Commit(&Batch{}), ErrClosed)

	received := make(chan remotewrite.Item, 10)
	set.Deliver = func(_ context.Context, r *Request) Result {
		received <- r.Items[0][0]
		return Settled
	}
	startQueue(t, set)
	require.Equal(t, int64(1000), (<-received).T)
}
