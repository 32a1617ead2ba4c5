package delta

import (
	"bytes"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
)

// FuzzApply applies two profiles in turn, twice. The differences must add up to the
// values of the profiles.
func FuzzApply(f *testing.F) {
	encode := func(p *profile.Profile) []byte {
		var buf bytes.Buffer
		require.NoError(f, p.WriteUncompressed(&buf))
		return buf.Bytes()
	}
	f.Add(encode(build(1, row{stack: "a", alloc: 10, inuse: 3}, row{stack: "b", alloc: 1, label: "x"})),
		encode(build(2, row{stack: "b", alloc: 2, label: "x"}, row{stack: "a", alloc: 12, inuse: 3, bytes: 8})))
	f.Add(encode(big(20)), encode(big(30)))
	allocate(1)
	first := encode(heap(f))
	allocate(2)
	f.Add(first, encode(heap(f)))
	kept = nil
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c := New([]string{"alloc_objects", "alloc_space", "contentions"})
		huge := false // values that real counters do not reach; differences wrap
		for i, data := range [][]byte{first, second, first, second, second} {
			p, err := profile.ParseUncompressed(data)
			if err != nil || p.CheckValid() != nil {
				return
			}
			columns := c.find(p)
			inNew := map[int]int64{}
			for _, col := range columns {
				inNew[col.index] = total(p, col.index)
			}
			others := 0
			for k := range p.SampleType {
				if _, cumulative := inNew[k]; !cumulative {
					others += int(total(p, k))
				}
			}
			for _, sample := range p.Sample {
				for _, v := range sample.Value {
					huge = huge || v > 1<<40 || v < -1<<40
				}
			}
			samples := len(p.Sample)
			outcome := c.Apply(p)
			c.Commit()
			require.NoError(t, p.CheckValid())
			require.Len(t, p.Sample, samples)
			for k := range p.SampleType {
				if _, cumulative := inNew[k]; !cumulative {
					others -= int(total(p, k))
				}
			}
			require.Zero(t, others, "what is no counter must stay")
			for k, sum := range inNew {
				switch outcome {
				case First:
					require.Zero(t, total(p, k))
				case Restarted:
					require.Equal(t, sum, total(p, k))
				default:
					for _, s := range p.Sample {
						require.True(t, s.Value[k] >= 0 || huge, "a difference of %d", s.Value[k])
					}
				}
				if i == 4 && outcome == Differences {
					require.Zero(t, total(p, k), "nothing has happened")
				}
			}
		}
	})
}

// total adds up a column, with the computer's overflow.
func total(p *profile.Profile, column int) int64 {
	var sum int64
	for _, s := range p.Sample {
		sum += s.Value[column]
	}
	return sum
}
