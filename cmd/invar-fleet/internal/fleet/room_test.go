package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/cmd/invar-fleet/internal/store"
	"github.com/invar-otel/invar/internal/remoteconf"
)

// noise returns a text of n bytes that cannot be compressed to less than half.
func noise(n int) string {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

var noisyBody = sync.OnceValue(func() []byte { return []byte(noise(maxBody)) })

// greedy returns a message with as much as a collector may send.
func greedy(id, token string) Sighting {
	attributes := make(map[string]string, maxAttributes)
	for i := range maxAttributes {
		attributes[fmt.Sprintf("k%03d", i)] = strings.Repeat("v", maxAttributeText/maxAttributes-4)
	}
	effective := make(map[string][]byte)
	for i := range 7 {
		effective[fmt.Sprint("p", i)] = noisyBody()
	}
	components := make([]string, maxComponents)
	for i := range components {
		components[i] = string(noisyBody()[i*20 : i*20+1000])
	}
	healthy := false
	return Sighting{
		ID: id, Token: token, Name: strings.Repeat("n", 1<<20), Version: strings.Repeat("v", 1<<20), Transport: TransportConnect,
		Attributes: attributes, Hash: strings.Repeat("h", 1<<20), Status: remoteconf.StatusFailed, Error: strings.Repeat("\x02", 1<<20),
		Effective: effective, Components: components, Healthy: &healthy, HealthText: strings.Repeat("t", 1<<20),
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// 1,500 collectors send as much as they may. What the server keeps of it is bounded, in
// memory and in the state file.
func TestGreedyCollectors(t *testing.T) {
	const mostHeap, mostFile = 64 << 20, 192 << 20
	const collectors = 1500
	b := open(t, map[string]string{"a": body("1")})
	defer b.close()
	before := heap()
	var peak uint64
	var group sync.WaitGroup
	next := make(chan int)
	for range 8 {
		group.Go(func() {
			for i := range next {
				s := greedy(fmt.Sprintf("%04d%s", i, strings.Repeat("i", 900)), "one")
				if i%10 != 0 { // compressing noise takes a while
					s.Effective, s.Components = nil, nil
				}
				if _, err := b.Seen(context.Background(), s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range collectors {
		next <- i
		if i%100 == 0 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
		}
	}
	close(next)
	group.Wait()
	kept := heap() - before
	info, err := os.Stat(b.settings.StateFile)
	require.NoError(t, err)
	require.Less(t, kept, uint64(mostHeap))
	require.Less(t, info.Size(), int64(mostFile))
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Zero(t, b.state.registry.pending)
	require.Len(t, b.state.registry.collectors, collectors)
	require.InDelta(t, kept, b.state.registry.memory, float64(kept)/2, "what is counted is about what it is")
	t.Logf("%d MiB kept, %d MiB counted, %d MiB at most in use, a file of %d MiB", kept>>20, b.state.registry.memory>>20, peak>>20, info.Size()>>20)
}

// A collector whose attributes cycle is offered another set each time.
func TestCyclingAttributes(t *testing.T) {
	const mostHeap = 150 << 20
	const pipelines, size = 10, 200 << 10
	files := map[string]string{}
	for i := range pipelines {
		files[fmt.Sprintf("p%02d", i)] = fmt.Sprintf("matchers: ['k%d=\"1\"']\n", i) + body("'"+noise(size)+"'")
	}
	b := open(t, files)
	defer b.close()
	before := heap()
	for i := range 1 << pipelines {
		attributes := make(map[string]string, pipelines)
		for k := range pipelines {
			attributes[fmt.Sprint("k", k)] = fmt.Sprint(i >> k & 1)
		}
		offer, err := b.Seen(t.Context(), Sighting{ID: "c", Token: "one", Attributes: attributes})
		require.NoError(t, err)
		if i%8 == 0 { // making them takes a while
			_, err := offer.Content()
			require.NoError(t, err)
		}
	}
	kept := int64(heap()) - int64(before)
	require.Less(t, kept, int64(mostHeap))
	require.LessOrEqual(t, b.state.offers.contents.size, maxContents)
	t.Logf("%d MiB kept, %d MiB of contents, %d entries", kept>>20, b.state.offers.contents.size>>20, len(b.state.offers.entries))
}

// openLimited opens a Fleet, and lets change reduce its limits.
func openLimited(t *testing.T, change func(*Fleet)) *testFleet {
	t.Helper()
	b := open(t, map[string]string{"a": "matchers: ['env=\"prod\"']\n" + body("1"), "b": body("2")})
	t.Cleanup(b.close)
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b.Fleet)
	return b
}

func (b *testFleet) see(t *testing.T, id, token string, attributes map[string]string) error {
	t.Helper()
	_, err := b.Seen(t.Context(), Sighting{ID: id, Token: token, Attributes: attributes})
	return err
}

// The token with the largest share gives way to others.
func TestRoomByToken(t *testing.T) {
	b := openLimited(t, func(f *Fleet) { f.state.registry.maxCollectors = 10 })
	for i := range 8 {
		require.NoError(t, b.see(t, fmt.Sprint("greedy-", i), "greedy", nil))
	}
	for i := range 2 {
		require.NoError(t, b.see(t, fmt.Sprint("small-", i), "small", nil))
	}
	require.ErrorIs(t, b.see(t, "greedy-8", "greedy", nil), ErrFull)
	_, err := b.Collector("greedy-8")
	require.ErrorIs(t, err, ErrNotFound)
	for i := range 3 { // until both have as many
		require.NoError(t, b.see(t, fmt.Sprint("more-", i), "small", nil))
	}
	for i := range 3 {
		_, err := b.Collector(fmt.Sprint("greedy-", i))
		require.ErrorIs(t, err, ErrNotFound, "the ones that were silent longest")
	}
	require.ErrorIs(t, b.see(t, "more-3", "small", nil), ErrFull)
	require.NoError(t, b.Gone(t.Context(), "small-0"))
	require.NoError(t, b.see(t, "more-3", "small", nil), "one of its own that is away gives way")
	_, err = b.Collector("small-0")
	require.ErrorIs(t, err, ErrNotFound)
	require.NoError(t, b.see(t, "third", "third", nil))
	require.Equal(t, 10, b.Summary().Collectors)
}

func TestRoomByMemory(t *testing.T) {
	b := openLimited(t, func(f *Fleet) { f.state.registry.limits.memory = 100 << 10 })
	large := func(n int) map[string]string {
		attributes := map[string]string{}
		for i := range n {
			attributes[fmt.Sprint(i)] = strings.Repeat("x", 1000)
		}
		return attributes
	}
	full := 0
	for i := range 20 {
		if err := b.see(t, fmt.Sprint("greedy-", i), "greedy", large(10)); err != nil {
			require.ErrorIs(t, err, ErrFull)
			require.ErrorContains(t, err, "is more than 102400 bytes, which is the most that is kept")
			full++
		}
	}
	require.Equal(t, 12, full)
	require.NoError(t, b.see(t, "other", "other", large(1)))
	// One that grows counts as well.
	require.NoError(t, b.see(t, "other", "other", large(10)))
	b.mu.Lock()
	defer b.mu.Unlock()
	require.LessOrEqual(t, b.state.registry.memory, 100<<10)
	sum := 0
	for _, c := range b.state.registry.collectors {
		sum += c.size()
	}
	require.Equal(t, sum, b.state.registry.memory)
	require.Equal(t, sum, b.state.registry.usage["greedy"].memory+b.state.registry.usage["other"].memory)
}

func TestRoomByOffers(t *testing.T) {
	b := openLimited(t, func(f *Fleet) {
		f.state.registry.limits.offers, f.state.offers.limit = 1600, 1600
	})
	require.NoError(t, b.see(t, "1", "greedy", map[string]string{"env": "prod"}))
	err := b.see(t, "2", "greedy", nil)
	require.ErrorIs(t, err, ErrFull)
	require.ErrorContains(t, err, "different sets of pipelines are offered")
	require.NoError(t, b.see(t, "3", "greedy", map[string]string{"env": "prod"}), "it has one that there is")
	require.NoError(t, b.see(t, "4", "other", nil), "the token with the most gives way")
}

// Details that wait are bounded while the state cannot be saved.
func TestPendingIsBounded(t *testing.T) {
	b := openLimited(t, func(f *Fleet) { f.state.registry.limits.pending = 1 << 20 })
	require.NoError(t, b.saver.file.Close())
	for i := range 20 {
		_, err := b.Seen(t.Context(), Sighting{ID: fmt.Sprint(i), Effective: map[string][]byte{"a": make([]byte, maxBody)}})
		require.NoError(t, err)
	}
	b.mu.Lock()
	require.LessOrEqual(t, b.state.registry.pending, 1<<20)
	require.Positive(t, b.state.registry.pending)
	b.mu.Unlock()
	var err error
	b.saver.file, err = store.Open(b.settings.StateFile)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.state.registry.pending == 0
	}, time.Minute, time.Millisecond)
}

func TestStoredIsBounded(t *testing.T) {
	b := openLimited(t, func(f *Fleet) { f.state.registry.limits.stored = 100 << 10 })
	for i := range 20 {
		_, err := b.Seen(t.Context(), Sighting{ID: fmt.Sprint(i), Effective: map[string][]byte{"a": []byte(noise(30 << 10))}})
		require.NoError(t, err)
	}
	with := 0
	for i := range 20 {
		v, err := b.Collector(fmt.Sprint(i))
		require.NoError(t, err)
		with += len(v.Details.Effective)
	}
	require.Positive(t, with)
	require.Less(t, with, 10)
	require.NoError(t, b.Forget(t.Context(), "ann", "0"))
	b.mu.Lock()
	stored := b.state.registry.stored
	b.mu.Unlock()
	require.LessOrEqual(t, stored, 100<<10)

	// The next process counts the same.
	b.close()
	b.reopen()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.InDelta(t, stored, b.state.registry.stored, 2000) // the times of sightings were saved
}

// A bounded number of collectors report details at a time. The others wait, until their
// context ends.
func TestDetailsWait(t *testing.T) {
	b := openLimited(t, func(f *Fleet) { f.detailed = make(chan struct{}, 1) })
	b.detailed <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err := b.Seen(ctx, Sighting{ID: "a", Components: []string{"receiver/otlp"}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, b.see(t, "a", "", nil))
	<-b.detailed
	_, err = b.Seen(t.Context(), Sighting{ID: "a", Components: []string{"receiver/otlp"}})
	require.NoError(t, err)
}
