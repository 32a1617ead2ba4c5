package prometheuswalexporter

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/queue"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// scrapesFrom is the time around which samples are generated. Prometheus' database
// accepts none before the epoch.
const scrapesFrom = 1_000_000

// scrapes decodes arbitrary bytes to transactions of samples near each other in
// time.
func scrapes(data []byte) (all [][]fuzzSample) {
	all = [][]fuzzSample{nil}
	for ; len(data) >= 3 && len(all) < 50; data = data[3:] {
		if data[0]&0x80 != 0 {
			all = append(all, nil)
		}
		s := fuzzSample{series: int(data[0] % 3), t: scrapesFrom + int64(int8(data[1])), v: float64(data[2] % 4)}
		switch data[2] >> 6 {
		case 1:
			s.v = math.Float64frombits(value.StaleNaN)
		case 2:
			s.histogram = true
		}
		all[len(all)-1] = append(all[len(all)-1], s)
	}
	return all
}

type fuzzSample struct {
	series    int
	t         int64
	v         float64
	histogram bool
}

func (s fuzzSample) append(app storage.AppenderV2) error {
	var h *histogram.Histogram
	if s.histogram {
		// Histograms are separate series: what the database stores of a series with
		// both kinds depends on more than the order of times.
		h = &histogram.Histogram{Count: 1 + uint64(s.v), Sum: 1, ZeroCount: 1 + uint64(s.v), ZeroThreshold: 1e-9}
	}
	_, err := app.Append(0, labels.FromStrings("__name__", fmt.Sprint("x", s.series, s.histogram)), 0, s.t, s.v, h, nil, storage.AOptions{})
	return err
}

// FuzzAdmission compares what the native lane sends with what Prometheus' own
// database stores of the same scrapes.
func FuzzAdmission(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 2, 2, 0x80, 1, 1, 0, 2, 2})          // two times, each time
	f.Add([]byte{0, 0, 7, 0x80, 0, 7, 0x80, 0, 6})                // the epoch, again, and another value
	f.Add([]byte{1, 0xf0, 1, 0x81, 0xe0, 1, 0x81, 0xf8, 1})       // before the epoch, and back
	f.Add([]byte{0, 9, 1, 0x80, 5, 0x40, 0x80, 9, 0x40})          // late staleness markers
	f.Add([]byte{2, 9, 0x81, 0x82, 9, 0x81, 0x82, 9, 0x82, 2, 8}) // histograms
	f.Fuzz(func(t *testing.T, data []byte) {
		all := scrapes(data)

		opts := tsdb.DefaultHeadOptions()
		opts.ChunkDirRoot = t.TempDir()
		head, err := tsdb.NewHead(nil, slog.New(slog.DiscardHandler), nil, nil, opts, nil)
		require.NoError(t, err)
		defer head.Close()
		for _, scrape := range all {
			app := head.AppenderV2(context.Background())
			for _, s := range scrape {
				_ = s.append(app) // it may refuse the sample
			}
			require.NoError(t, app.Commit())
		}
		want := map[string][]sample{}
		q, err := tsdb.NewBlockQuerier(tsdb.NewRangeHead(head, math.MinInt64, math.MaxInt64), math.MinInt64, math.MaxInt64)
		require.NoError(t, err)
		defer q.Close()
		set := q.Select(context.Background(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".+"))
		for set.Next() {
			name := set.At().Labels().String()
			for it := set.At().Iterator(nil); ; {
				switch it.Next() {
				case chunkenc.ValNone:
				case chunkenc.ValFloat:
					at, v := it.At()
					want[name] = append(want[name], sample{at, v})
					continue
				default:
					at, h := it.AtFloatHistogram(nil)
					want[name] = append(want[name], sample{at, h.Count - 1})
					continue
				}
				break
			}
		}
		require.NoError(t, set.Err())

		got := map[string][]sample{}
		cfg := testConfig(t, "http://localhost")
		cfg.Queue.Shards = 1
		e, stop := startPath(t, cfg, func(r *queue.Request, it *remotewrite.Item, name string) {
			v := it.V
			if it.Extra != 0 {
				v = histogramCount(t, r.Extra(it.Extra).Histogram) - 1
			}
			got[name] = append(got[name], sample{it.T, v})
		})
		for _, scrape := range all {
			app := e.AppenderV2(context.Background())
			for _, s := range scrape {
				require.NoError(t, s.append(app))
			}
			require.NoError(t, app.Commit())
		}
		stop()
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got))
	})
}

func histogramCount(t *testing.T, encoded []byte) float64 {
	h := decodeHistogram(t, encoded)
	return float64(h.ToIntHistogram().Count)
}
