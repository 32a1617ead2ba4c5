package series

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func named(i int) labels.Labels {
	return labels.FromStrings("__name__", "m", "i", fmt.Sprint(i), "job", fmt.Sprint(i%3))
}

// text returns the labels of a series from the table.
func text(t *Table, s Slot) string {
	v := t.View()
	defer v.Close()
	var b labels.ScratchBuilder
	for _, p := range v.Pairs(s) {
		name, value := v.Pair(p)
		b.Add(v.Symbol(name), v.Symbol(value))
	}
	return b.Labels().String()
}

func TestIntern(t *testing.T) {
	table := NewTable(time.Now())
	const n = 5000
	refs := make([]Ref, n)
	for i := range refs {
		refs[i] = table.Intern(named(i), false, 1)
	}
	require.Equal(t, n, table.Len())
	for i, r := range refs {
		require.Equal(t, r, table.Intern(named(i), false, 1))
		slot, ok := table.Use(r, 1)
		require.True(t, ok)
		require.Equal(t, r.Slot(), slot)
		require.Equal(t, named(i).String(), text(table, slot))
	}
	require.Equal(t, n, table.Len())
	_, ok := table.Use(0, 1)
	require.False(t, ok)
	_, ok = table.Use(Ref(1<<31), 1)
	require.False(t, ok)
}

func TestDroppedIsAnotherNameSpace(t *testing.T) {
	table := NewTable(time.Now())
	kept, dropped := table.Intern(named(1), false, 1), table.Intern(named(1), true, 1)
	require.NotEqual(t, kept, dropped)
	require.False(t, table.Dropped(kept.Slot()))
	require.True(t, table.Dropped(dropped.Slot()))
	require.Equal(t, dropped, table.Intern(named(1), true, 1))
}

// Labels with the same hash are distinguished.
func TestHashCollision(t *testing.T) {
	table := NewTable(time.Now())
	a := table.Intern(named(1), false, 1)
	e := table.Entry(a.Slot())
	table.mu.Lock()
	table.index.remove(e.hash, a.Slot())
	e.hash = named(2).Hash()
	table.index.insert(e.hash, a.Slot(), table.hashOf)
	table.mu.Unlock()
	b := table.Intern(named(2), false, 1)
	require.NotEqual(t, a, b)
	require.Equal(t, named(2).String(), text(table, b.Slot()))
}

func TestSweep(t *testing.T) {
	table := NewTable(time.Now())
	const n = 3000
	refs := make([]Ref, n)
	for i := range refs {
		refs[i] = table.Intern(named(i), false, 10)
		table.Entry(refs[i].Slot()).Family = table.InternFamily(Family{Type: 1, Name: fmt.Sprint("f", i%2)}, 10)
	}
	for i := range refs {
		switch i % 3 {
		case 0:
			_, ok := table.Use(refs[i], 100)
			require.True(t, ok)
		case 1:
			if i%2 == 1 {
				table.Keep(refs[i].Slot(), 100)
			}
		}
	}
	freed := table.Sweep(50)
	require.Equal(t, n-n/3-n/6, freed)
	require.Equal(t, n-freed, table.Len())
	for i, r := range refs {
		_, ok := table.Use(r, 100)
		kept := i%3 == 0 || i%3 == 1 && i%2 == 1
		require.Equal(t, kept, ok, i)
		if kept {
			require.Equal(t, named(i).String(), text(table, r.Slot()))
		}
	}
	// Slots are reused with another generation; old refs stay invalid.
	reused := table.Intern(named(2), false, 100)
	require.Equal(t, named(2).String(), text(table, reused.Slot()))
	for _, r := range refs {
		if r.Slot() == reused.Slot() {
			require.NotEqual(t, r, reused)
			_, ok := table.Use(r, 100)
			require.False(t, ok)
		}
	}
	require.Zero(t, table.Entry(reused.Slot()).Family)
}

// The tables do not grow with churn: after everything is swept, only capacity is
// left.
func TestChurnDoesNotGrow(t *testing.T) {
	table := NewTable(time.Now())
	var pairs, symbols, high, places int
	for round := range uint32(20) {
		clock := 100 * (round + 1)
		for i := range 2000 {
			r := table.Intern(named(int(round)*2000+i), false, clock)
			table.Entry(r.Slot()).Family = table.InternFamily(Family{Name: fmt.Sprint("f", round)}, clock)
		}
		require.Equal(t, 2000, table.Sweep(clock+1))
		require.Zero(t, table.Len())
		require.Empty(t, table.pairs.byPair)
		require.Empty(t, table.pairs.bySymbol)
		require.Empty(t, table.fams.byValue)
		if round == 0 {
			v := table.View()
			pairs, symbols = v.Sizes()
			v.Close()
			high, places = int(table.high), len(table.index.places)
		}
	}
	v := table.View()
	defer v.Close()
	p, s := v.Sizes()
	require.LessOrEqual(t, p, pairs+10)
	require.LessOrEqual(t, s, symbols+10)
	require.Equal(t, high, int(table.high))
	require.LessOrEqual(t, len(table.index.places), 2*places)
	require.Len(t, table.arena.blocks, 1)
}

func TestInternCopiesStrings(t *testing.T) {
	table := NewTable(time.Now())
	b := []byte("__name__")
	ls := labels.FromStrings(string(b), strings.Repeat("x", 300))
	r := table.Intern(ls, false, 1)
	require.Equal(t, ls.String(), text(table, r.Slot()))
}

// Interns, reads and sweeps run concurrently. The labels that are read back show
// whether a slot was reused too early.
func TestConcurrentUse(t *testing.T) {
	table := NewTable(time.Now())
	var clock sync.RWMutex // held while a slot is in use at a tick
	now := uint32(1)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			refs := map[int]Ref{}
			step := func() bool {
				clock.RLock()
				defer clock.RUnlock()
				i := rng.IntN(500)
				slot, ok := table.Use(refs[i], now)
				if !ok {
					refs[i] = table.Intern(named(i), false, now)
					slot = refs[i].Slot()
				}
				got := text(table, slot)
				if got != named(i).String() {
					t.Errorf("%s is not %s", got, named(i))
				}
				return got == named(i).String()
			}
			for step() {
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 300 {
		clock.Lock()
		now += 20
		before := now - 1
		clock.Unlock()
		table.Sweep(before) // beside uses at now
		time.Sleep(100 * time.Microsecond)
	}
	close(stop)
	wg.Wait()
}

func BenchmarkUse(b *testing.B) {
	table := NewTable(time.Now())
	refs := make([]Ref, 200_000)
	for i := range refs {
		refs[i] = table.Intern(named(i), false, 1)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, ok := table.Use(refs[i%len(refs)], 1); !ok {
			b.Fatal("gone")
		}
		i++
	}
}

func BenchmarkInternNew(b *testing.B) {
	all := make([]labels.Labels, 100_000)
	for i := range all {
		all[i] = named(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		table := NewTable(time.Now())
		for _, ls := range all {
			table.Intern(ls, false, 1)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(all)), "ns/series")
}
