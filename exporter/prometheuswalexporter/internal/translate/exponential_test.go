package translate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

func TestExponential(t *testing.T) {
	f := func(want string, fill func(m pmetric.Metric)) {
		t.Helper()
		got, losses := translated(t, defaults(), one(fill))
		require.Empty(t, losses)
		require.Equal(t, []string{`{__name__="m", instance="i", job="j"} at 1700000000000 ` + want}, got)
	}
	f("schema 0 zero 1e-128 0 sum 0 count 3 hint 0 [{1 2}] [1 1] [] [] []", func(m pmetric.Metric) {
		exponentialHistogram(m, 0, 0, 1, 2)
	})
	f("schema 3 zero 0.25 2 sum 9 count 5 hint 0 [{-1 2}] [1 1] [] [] []", func(m pmetric.Metric) {
		dp := exponentialHistogram(m, 3, -2, 1, 2)
		dp.SetZeroThreshold(0.25)
		dp.SetZeroCount(2)
		dp.SetCount(5)
		dp.SetSum(9)
	})
	// Four buckets become one, whatever the offset.
	f("schema 8 zero 1e-128 0 sum 0 count 10 hint 0 [{1 2}] [3 4] [] [] []", func(m pmetric.Metric) {
		exponentialHistogram(m, 10, 1, 1, 1, 1, 7)
	})
	f("schema 8 zero 1e-128 0 sum 0 count 2 hint 0 [{2 1}] [2] [] [] []", func(m pmetric.Metric) {
		exponentialHistogram(m, 9, 0, 0, 0, 1, 1)
	})
	f("schema 8 zero 1e-128 0 sum 0 count 5 hint 0 [{0 1}] [5] [] [] []", func(m pmetric.Metric) {
		exponentialHistogram(m, math.MaxInt32, -3, 5)
	})
	f("schema 8 zero 1e-128 0 sum 0 count 5 hint 0 [{1 1}] [5] [] [] []", func(m pmetric.Metric) {
		exponentialHistogram(m, math.MaxInt32, math.MaxInt32, 5)
	})
	f("stale", func(m pmetric.Metric) {
		dp := exponentialHistogram(m, -20, 0)
		dp.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
	})
}

// Buckets have the computed numbers, whatever their layout.
func FuzzSpans(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		counts := make([]byte, random.IntN(60))
		for i := range counts {
			counts[i] = byte(max(0, random.IntN(8)-4))
		}
		f.Add(counts, int32(random.IntN(100)-50), uint8(random.IntN(12)))
	}
	f.Add([]byte{1, 1}, int32(math.MinInt32), uint8(0))
	f.Add([]byte{1, 1}, int32(math.MaxInt32), uint8(0))
	f.Add([]byte{1, 1}, int32(math.MaxInt32-1), uint8(1))
	f.Fuzz(func(t *testing.T, raw []byte, offset int32, merge uint8) {
		counts := make(sliceCounts, len(raw))
		want := map[int32]uint64{}
		for i, c := range raw {
			counts[i] = uint64(c)
			if c == 0 {
				continue
			}
			number := (int64(offset)+int64(i))>>(merge%40) + 1
			if number != int64(int32(number)) {
				want = nil
				break
			}
			want[int32(number)] += uint64(c)
		}
		spans, deltas, err := new(worker).spans(counts, int64(offset), uint64(merge%40), 1)
		if want == nil {
			require.ErrorIs(t, err, errIndex)
			return
		}
		require.NoError(t, err)
		require.LessOrEqual(t, len(deltas), 3*len(raw))
		h := &histogram.Histogram{PositiveSpans: spans, PositiveBuckets: deltas}
		for _, c := range want {
			h.Count += c
		}
		require.NoError(t, h.Validate())
		got := map[int32]uint64{}
		for it := h.PositiveBucketIterator(); it.Next(); {
			if b := it.At(); b.Count > 0 {
				got[b.Index] = b.Count
			}
		}
		require.Equal(t, want, got)
	})
}
