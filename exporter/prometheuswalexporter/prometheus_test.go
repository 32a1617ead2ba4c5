package prometheuswalexporter

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	promremote "github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// receiver is Prometheus' own write handler with a database, so it refuses the
// samples that Prometheus refuses.
type receiver struct {
	url      string
	db       *tsdb.DB
	requests atomic.Int64
	mu       sync.RWMutex // tsdb reads postings while it adds to them
}

// newReceiver returns a receiver that accepts the messages.
func newReceiver(t testing.TB, messages ...remotewrite.Message) *receiver {
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), nil, tsdb.DefaultOptions(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	r := &receiver{db: db}
	h := writeHandler(promremote.NewWriteHandler, db, messages)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		r.mu.Lock()
		defer r.mu.Unlock()
		h.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// writeHandler calls Prometheus' constructor. The type of its list of messages is
// in a module that the exporter does not need.
func writeHandler[L ~[]M, M ~string](
	construct func(*slog.Logger, prometheus.Registerer, storage.Appendable, L, bool, bool, bool) http.Handler,
	db *tsdb.DB, messages []remotewrite.Message,
) http.Handler {
	var list L
	for _, m := range messages {
		list = append(list, M(m))
	}
	return construct(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), db, list, false, false, false)
}

// stored returns the times of all samples by series.
func (r *receiver) stored(t testing.TB) map[string][]int64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	q, err := r.db.Querier(math.MinInt64, math.MaxInt64)
	require.NoError(t, err)
	defer q.Close()
	set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
	all := map[string][]int64{}
	for set.Next() {
		s := set.At()
		for it := s.Iterator(nil); it.Next() != chunkenc.ValNone; {
			all[s.Labels().String()] = append(all[s.Labels().String()], it.AtT())
		}
	}
	require.NoError(t, set.Err())
	require.Equal(t, annotations.Annotations(nil), set.Warnings())
	return all
}

func count(all map[string][]int64) (n int) {
	for _, ts := range all {
		n += len(ts)
	}
	return n
}

// Samples that Prometheus refuses do not affect others, with either message.
func TestPrometheusRefusesSamples(t *testing.T) {
	for _, c := range []struct {
		name     string
		message  string
		accepted []remotewrite.Message
	}{
		{"1.0", string(remotewrite.V1), []remotewrite.Message{remotewrite.V1}},
		{"2.0", string(remotewrite.V2), []remotewrite.Message{remotewrite.V2}},
		{"auto, both", messageAuto, []remotewrite.Message{remotewrite.V1, remotewrite.V2}},
		{"auto, fell back", messageAuto, []remotewrite.Message{remotewrite.V1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newReceiver(t, c.accepted...)
			cfg := testConfig(t, r.url)
			cfg.ProtobufMessage = c.message
			cfg.Queue.Shards = 2
			e := startWatched(t, cfg)
			const series, late, ahead = 1500, 7, 20
			now := time.Now().UnixMilli()
			commit := func(t0 int64, at func(i int) int64) {
				app := e.newAppender()
				for i := range series {
					ls, ts := seriesLabels(i), at(i)
					var h *histogram.Histogram
					if i%10 == 0 {
						h = &histogram.Histogram{Count: 3, PositiveSpans: []histogram.Span{{Length: 2}}, PositiveBuckets: []int64{1, 1}}
						ls = labels.NewBuilder(ls).Set("__name__", "h").Labels()
					}
					_, err := app.Append(0, ls, 0, ts, float64(i), h, nil, storage.AOptions{})
					require.NoError(t, err)
				}
				for i := range ahead { // a client whose clock is a day ahead
					_, err := app.Append(0, labels.FromStrings("__name__", "ahead", "n", fmt.Sprint(i)), 0, t0+24*3600_000, 1, nil, nil, storage.AOptions{})
					require.NoError(t, err)
				}
				require.NoError(t, app.Commit())
			}
			// The first request already has bad samples.
			commit(now-1000, func(int) int64 { return now - 1000 })
			require.Eventually(t, func() bool { return count(r.stored(t)) == series }, time.Minute, 10*time.Millisecond)
			// Later ones have late samples, spread among the others.
			commit(now, func(i int) int64 {
				if i%(series/late) == 1 {
					return now - 60_000
				}
				return now
			})
			const bad = 2*ahead + late + 1
			require.Eventually(t, func() bool { return count(r.stored(t)) == 2*series-late-1 }, time.Minute, 10*time.Millisecond,
				"%d samples", count(r.stored(t)))
			require.Eventually(t, func() bool { return e.byReason("dropped_samples")["refused_400"] == bad }, time.Minute, 10*time.Millisecond)
			require.Equal(t, map[string]int64{"refused_400": bad}, e.byReason("dropped_samples"))
			require.Equal(t, 1, e.logged("The endpoint refused samples for good"))
			// About two requests for each halving of a part with a bad sample.
			require.Less(t, r.requests.Load(), int64(40+2*ahead*2+2*(late+1)*8))
		})
	}
}

// A target that exposes two times of a series, or times that go back, does not
// affect others: samples that would be refused are not sent.
func TestPrometheusAndTimesOfTargets(t *testing.T) {
	r := newReceiver(t, remotewrite.V1)
	cfg := testConfig(t, r.url)
	e := startWatched(t, cfg)
	now := time.Now().UnixMilli()
	const scrapes = 5
	for i := range int64(scrapes) {
		app := e.AppenderV2(context.Background())
		for _, s := range []struct {
			name string
			t    int64
		}{{"a", now - 2000}, {"a", now - 1000}, {"federated", now - i*1000}, {"b", now + i}, {"c", now + i}} {
			_, err := app.Append(0, labels.FromStrings("__name__", s.name), 0, s.t, float64(s.t), nil, nil, storage.AOptions{})
			require.NoError(t, err)
		}
		require.NoError(t, app.Commit())
		time.Sleep(2 * cfg.Queue.BatchSendDeadline)
	}
	require.Eventually(t, func() bool { return count(r.stored(t)) == 2+1+2*scrapes }, time.Minute, 10*time.Millisecond)
	require.Equal(t, map[string]int64{"out_of_order": 2 * (scrapes - 1)}, e.byReason("dropped_samples"))
	require.LessOrEqual(t, r.requests.Load(), int64(scrapes+1), "nothing was divided")
}
