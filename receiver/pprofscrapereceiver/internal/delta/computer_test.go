package delta

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"testing"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var memory = []string{"alloc_objects", "alloc_space"}

// build returns a profile with the sample types alloc_objects and inuse_objects and
// stacks of one function each. At even times the IDs are in reverse order, as they
// may differ between profiles.
func build(nanos int64, rows ...row) *profile.Profile {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "alloc_objects", Unit: "count"}, {Type: "inuse_objects", Unit: "count"}},
		TimeNanos:  nanos,
	}
	for i, r := range rows {
		id := uint64(i + 1)
		if nanos%2 == 0 {
			id = uint64(len(rows) - i)
		}
		f := &profile.Function{ID: id, Name: r.stack}
		l := &profile.Location{ID: id, Line: []profile.Line{{Function: f, Line: 1}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
		s := &profile.Sample{Location: []*profile.Location{l}, Value: []int64{r.alloc, r.inuse}}
		if r.bytes != 0 {
			s.NumLabel, s.NumUnit = map[string][]int64{"bytes": {r.bytes}}, map[string][]string{"bytes": {"bytes"}}
		}
		if r.label != "" {
			s.Label = map[string][]string{"thread": {r.label}, "other": {"same"}}
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

type row struct {
	stack        string
	alloc, inuse int64
	bytes        int64
	label        string
}

// rows returns the samples of a profile from build.
func rows(p *profile.Profile) []row {
	var out []row
	for _, s := range p.Sample {
		r := row{stack: s.Location[0].Line[0].Function.Name, alloc: s.Value[0], inuse: s.Value[1]}
		if b := s.NumLabel["bytes"]; len(b) > 0 {
			r.bytes = b[0]
		}
		if v := s.Label["thread"]; len(v) > 0 {
			r.label = v[0]
		}
		out = append(out, r)
	}
	return out
}

func TestDifferences(t *testing.T) {
	c := New([]string{"alloc_objects", "alloc_space"})
	nanos := int64(0)
	f := func(outcome Outcome, in, want []row) {
		t.Helper()
		nanos++
		p := build(nanos, in...)
		require.Equal(t, outcome, c.Apply(p))
		require.Equal(t, want, rows(p))
		require.NoError(t, p.CheckValid())
		if outcome == First {
			require.Zero(t, p.DurationNanos)
		} else {
			require.Equal(t, int64(1), p.DurationNanos)
		}
		c.Commit()
	}
	f(First, []row{{stack: "a", alloc: 10, inuse: 3}}, []row{{stack: "a", inuse: 3}})
	f(Differences, []row{{stack: "a", alloc: 12, inuse: 1}}, []row{{stack: "a", alloc: 2, inuse: 1}})
	// No change; a new stack; a different order.
	f(Differences, []row{{stack: "b", alloc: 5}, {stack: "a", alloc: 12, inuse: 1}}, []row{{stack: "b", alloc: 5}, {stack: "a", inuse: 1}})
	// The same stack with other labels is another row.
	f(Differences, []row{{stack: "a", alloc: 13}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 2, label: "x"}, {stack: "b", alloc: 6}},
		[]row{{stack: "a", alloc: 1}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 2, label: "x"}, {stack: "b", alloc: 1}})
	// Two samples of one row: their sum counts. Other sample types do not change.
	f(Differences, []row{{stack: "a", alloc: 10, inuse: 1}, {stack: "a", alloc: 4, inuse: 2}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 2, label: "x"}, {stack: "b", alloc: 6}, {stack: "c"}},
		[]row{{stack: "a", alloc: 1, inuse: 1}, {stack: "a", inuse: 2}, {stack: "a", bytes: 8}, {stack: "a", label: "x"}, {stack: "b"}, {stack: "c"}})
	// A stack without a value may disappear.
	f(Differences, []row{{stack: "a", alloc: 15}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 2, label: "x"}, {stack: "b", alloc: 6}},
		[]row{{stack: "a", alloc: 1}, {stack: "a", bytes: 8}, {stack: "a", label: "x"}, {stack: "b"}})
	// One value has shrunk: all stay unchanged.
	f(Restarted, []row{{stack: "a", alloc: 3}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 9, label: "x"}, {stack: "b", alloc: 9}},
		[]row{{stack: "a", alloc: 3}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 9, label: "x"}, {stack: "b", alloc: 9}})
	f(Differences, []row{{stack: "a", alloc: 4}, {stack: "a", alloc: 4, bytes: 8}, {stack: "a", alloc: 9, label: "x"}, {stack: "b", alloc: 9}},
		[]row{{stack: "a", alloc: 1}, {stack: "a", bytes: 8}, {stack: "a", label: "x"}, {stack: "b"}})
	// The same if a stack with a value is gone.
	f(Restarted, []row{{stack: "a", alloc: 10}, {stack: "a", alloc: 5, bytes: 8}}, []row{{stack: "a", alloc: 10}, {stack: "a", alloc: 5, bytes: 8}})
	f(Differences, []row{{stack: "a", alloc: 11}, {stack: "a", alloc: 5, bytes: 8}}, []row{{stack: "a", alloc: 1}, {stack: "a", bytes: 8}})
}

// TestRestartWithOtherStacks restarts a process whose stacks appear one by one.
func TestRestartWithOtherStacks(t *testing.T) {
	c := New(memory)
	sum := map[string]int64{}
	for i, in := range [][]row{
		{{stack: "a", alloc: 100}, {stack: "c", alloc: 40}},
		{{stack: "b", alloc: 10}},
		{{stack: "a", alloc: 5}, {stack: "b", alloc: 12}},
		{{stack: "a", alloc: 6}, {stack: "b", alloc: 13}},
	} {
		p := build(int64(i+1), in...)
		c.Apply(p)
		for _, r := range rows(p) {
			sum[r.stack] += r.alloc
		}
		c.Commit()
	}
	require.Equal(t, map[string]int64{"a": 6, "b": 13, "c": 0}, sum)
}

// TestRestartThatIsNotCommitted restarts a process while the pipeline refuses
// profiles.
func TestRestartThatIsNotCommitted(t *testing.T) {
	c := New(memory)
	f := func(outcome Outcome, commit bool, in, want row) {
		t.Helper()
		p := build(1, in)
		require.Equal(t, outcome, c.Apply(p))
		require.Equal(t, []row{want}, rows(p))
		if commit {
			c.Commit()
		}
	}
	f(First, true, row{stack: "a", alloc: 100}, row{stack: "a"})
	f(Restarted, false, row{stack: "a", alloc: 90}, row{stack: "a", alloc: 90})
	f(Differences, false, row{stack: "a", alloc: 110}, row{stack: "a", alloc: 110})
	f(Differences, true, row{stack: "a", alloc: 120}, row{stack: "a", alloc: 120})
	f(Differences, true, row{stack: "a", alloc: 121}, row{stack: "a", alloc: 1})
}

// TestDifferencesNeverExceedCounts lets processes count, restart and be scraped by a
// pipeline that sometimes refuses profiles. The differences of a stack never exceed
// what was counted since the first scrape, and equal it if no process restarts or if
// each scrape detects the restart.
func TestDifferencesNeverExceedCounts(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := New(memory)
		stacks := 1 + r.IntN(6)
		counters := make([]int64, stacks) // of the current process
		truth, told := make([]int64, stacks), make([]int64, stacks)
		started, exact := false, true
		before := make([]int64, stacks) // at the last scrape
		for step := range 1 + r.IntN(20) {
			restarted := r.IntN(4) == 0
			if restarted {
				clear(counters)
			}
			for i := range counters {
				if r.IntN(3) == 0 {
					n := 1 + r.Int64N(50)
					counters[i] += n
					if started {
						truth[i] += n
					}
				}
			}
			var in []row
			evident := false
			for i, n := range counters {
				if n > 0 {
					in = append(in, row{stack: fmt.Sprint(i), alloc: n})
				}
				evident = evident || n < before[i]
			}
			taken := r.IntN(5) > 0
			exact = exact && taken && (!restarted || evident || !started)
			copy(before, counters)
			p := build(int64(step+1), in...)
			c.Apply(p)
			if !taken {
				continue
			}
			for _, got := range rows(p) {
				i, err := strconv.Atoi(got.stack)
				require.NoError(t, err)
				require.GreaterOrEqual(t, got.alloc, int64(0))
				told[i] += got.alloc
			}
			c.Commit()
			started = true
		}
		for i := range told {
			require.LessOrEqual(t, told[i], truth[i], "seed %d", seed)
		}
		if exact && started {
			require.Equal(t, truth, told, "seed %d", seed)
		}
	}
}

func TestWithoutCommitNothingIsLost(t *testing.T) {
	c := New(memory)
	require.Equal(t, First, c.Apply(build(1, row{stack: "a", alloc: 1})))
	require.Equal(t, First, c.Apply(build(2, row{stack: "a", alloc: 5})))
	c.Commit()
	p := build(3, row{stack: "a", alloc: 6}, row{stack: "b", alloc: 1})
	require.Equal(t, Differences, c.Apply(p))
	require.Equal(t, []row{{stack: "a", alloc: 1}, {stack: "b", alloc: 1}}, rows(p))
	p = build(4, row{stack: "a", alloc: 8}, row{stack: "b", alloc: 3})
	require.Equal(t, Differences, c.Apply(p))
	require.Equal(t, []row{{stack: "a", alloc: 3}, {stack: "b", alloc: 3}}, rows(p))
	require.Equal(t, int64(2), p.DurationNanos)
	c.Commit()
	c.Commit() // has no effect
	p = build(5, row{stack: "a", alloc: 8}, row{stack: "b", alloc: 3})
	require.Equal(t, Differences, c.Apply(p))
	require.Equal(t, []row{{stack: "a"}, {stack: "b"}}, rows(p))
}

func TestProfilesWithoutCounters(t *testing.T) {
	c := New([]string{"contentions"})
	p := build(1, row{stack: "a", alloc: 10, inuse: 3})
	require.Equal(t, Unchanged, c.Apply(p))
	require.Equal(t, []row{{stack: "a", alloc: 10, inuse: 3}}, rows(p))
	c.Commit()
	require.Zero(t, c.Rows())
}

func TestOtherSampleTypesBeginAnew(t *testing.T) {
	c := New(memory)
	c.Apply(build(1, row{stack: "a", alloc: 10}))
	c.Commit()
	p := build(2, row{stack: "a", alloc: 12})
	p.SampleType[0].Unit = "thousands"
	require.Equal(t, First, c.Apply(p))
}

// Stacks of processes that have ended are dropped.
func TestRowsThatAreGoneAreForgotten(t *testing.T) {
	c := New(memory)
	for i := range 100 {
		var in []row
		for k := range 1000 {
			in = append(in, row{stack: fmt.Sprint(i, " ", k), alloc: 1})
		}
		outcome := c.Apply(build(int64(i+1), in...))
		if i > 0 {
			require.Equal(t, Restarted, outcome)
		}
		c.Commit()
		require.LessOrEqual(t, c.Rows(), 4000)
	}
}

var kept [][]byte

//go:noinline
func allocate(n int) {
	for range n {
		kept = append(kept, make([]byte, 1<<20))
	}
}

// heap returns the heap profile of this process.
func heap(t testing.TB) *profile.Profile {
	t.Helper()
	runtime.GC()
	runtime.GC()
	var buf bytes.Buffer
	require.NoError(t, pprof.Lookup("allocs").WriteTo(&buf, 0))
	p, err := profile.Parse(&buf)
	require.NoError(t, err)
	return p
}

// allocated adds up a column over the samples of the function allocate.
func allocated(t *testing.T, p *profile.Profile, sampleType string) int64 {
	t.Helper()
	column := slices.IndexFunc(p.SampleType, func(v *profile.ValueType) bool { return v.Type == sampleType })
	require.GreaterOrEqual(t, column, 0)
	var sum int64
	for _, s := range p.Sample {
		if slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
			return slices.ContainsFunc(l.Line, func(line profile.Line) bool {
				return line.Function.Name == "github.com/invar-otel/invar/receiver/pprofscrapereceiver/internal/delta.allocate"
			})
		}) {
			sum += s.Value[column]
		}
	}
	return sum
}

// Nearly all allocations larger than the sampling rate are sampled.
func TestHeapProfilesOfThisProcess(t *testing.T) {
	c := New(memory)
	allocate(10)
	require.Equal(t, First, c.Apply(heap(t)))
	c.Commit()
	allocate(20)
	p := heap(t)
	inuse := allocated(t, p, "inuse_space")
	require.Equal(t, Differences, c.Apply(p))
	c.Commit()
	require.InDelta(t, 20<<20, allocated(t, p, "alloc_space"), 6<<20)
	require.InDelta(t, 20, allocated(t, p, "alloc_objects"), 6)
	require.Equal(t, inuse, allocated(t, p, "inuse_space"))
	p = heap(t)
	require.Equal(t, Differences, c.Apply(p))
	require.Zero(t, allocated(t, p, "alloc_space"))
	runtime.KeepAlive(kept)
	kept = nil
}

// big returns a heap profile of n stacks of 20 frames.
func big(n int) *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{
		{Type: "alloc_objects", Unit: "count"}, {Type: "alloc_space", Unit: "bytes"},
		{Type: "inuse_objects", Unit: "count"}, {Type: "inuse_space", Unit: "bytes"},
	}}
	for i := range n {
		f := &profile.Function{ID: uint64(i) + 1, Name: fmt.Sprintf("example.com/module/package.function%d", i), Filename: "/src/package/file.go"}
		l := &profile.Location{ID: uint64(i) + 1, Address: uint64(i) * 16, Line: []profile.Line{{Function: f, Line: 10}}}
		p.Function, p.Location = append(p.Function, f), append(p.Location, l)
	}
	for i := range n {
		s := &profile.Sample{
			Value:    []int64{int64(i), int64(i) * 64, 1, 64},
			NumLabel: map[string][]int64{"bytes": {64}}, NumUnit: map[string][]string{"bytes": {"bytes"}},
		}
		for k := range 20 {
			s.Location = append(s.Location, p.Location[(i+k*k)%n])
		}
		p.Sample = append(p.Sample, s)
	}
	return p
}

// The memory of a stack is what the documentation says.
func TestMemoryOfAStack(t *testing.T) {
	const n = 20000
	first, second := big(n), big(n)
	live := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	c := New(memory)
	c.Apply(first)
	c.Commit()
	c.Apply(second)
	c.Commit()
	perStack := float64(live()-before) / n
	runtime.KeepAlive(c)
	runtime.KeepAlive(first)
	runtime.KeepAlive(second)
	t.Logf("%.1f bytes for each stack", perStack)
	require.InDelta(t, 45, perStack, 15)
}

func BenchmarkApply(b *testing.B) {
	p := big(5000)
	values := make([]int64, 4*len(p.Sample))
	for i, s := range p.Sample {
		copy(values[4*i:], s.Value)
	}
	c := New(memory)
	b.ReportAllocs()
	for b.Loop() {
		for i, s := range p.Sample {
			copy(s.Value, values[4*i:])
		}
		c.Apply(p)
		c.Commit()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(p.Sample)), "ns/sample")
}
