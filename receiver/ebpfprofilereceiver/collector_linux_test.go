//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flushed records the periods that a collector has flushed.
type flushed struct {
	mu      sync.Mutex
	periods []*period
	stops   int
}

func (f *flushed) flush(_ context.Context, p *period) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.periods = append(f.periods, p)
}

func (f *flushed) onStop() { f.stops++ }

// sizes returns the number of stacks of each period.
func (f *flushed) sizes() []int {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []int{}
	for _, p := range f.periods {
		out = append(out, p.stacks)
	}
	return out
}

func TestInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flushed
		c := newSampleCollector(10*time.Second, f.flush, f.onStop)
		ctx, cancel := context.WithCancel(t.Context())
		require.NoError(t, c.Start(ctx))
		start := time.Now()
		report(t, c, frames("a"), metaOf(7, "/x"))
		time.Sleep(10*time.Second - time.Nanosecond)
		synctest.Wait()
		assert.Empty(t, f.sizes())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.Equal(t, []int{1}, f.sizes())
		report(t, c, frames("a"), metaOf(7, "/x"))
		report(t, c, frames("b"), metaOf(7, "/x"))
		time.Sleep(25 * time.Second)
		synctest.Wait()
		assert.Equal(t, []int{1, 2, 0}, f.sizes())
		report(t, c, frames("c"), metaOf(7, "/x"))
		cancel() // as the profiler does before Stop
		synctest.Wait()
		assert.Len(t, f.sizes(), 3)
		c.Stop()
		assert.Equal(t, []int{1, 2, 0, 1}, f.sizes())
		assert.Equal(t, 1, f.stops)
		for i, p := range f.periods {
			assert.Equal(t, start.Add(time.Duration(i)*10*time.Second), p.start)
			assert.Equal(t, start.Add(min(time.Duration(i+1)*10*time.Second, 35*time.Second)), p.end)
		}
		report(t, c, frames("late"), metaOf(7, "/x")) // the profiler may report after Stop; the sample is ignored
	})
}

// A full period ends early, and the next one lasts a whole interval.
func TestFullPeriodEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f flushed
		c := newSampleCollector(10*time.Second, f.flush, f.onStop)
		require.NoError(t, c.Start(t.Context()))
		time.Sleep(4 * time.Second)
		for n := range maxStacks {
			report(t, c, frames(strconv.Itoa(n)), metaOf(7, "/x"))
		}
		synctest.Wait()
		assert.Equal(t, []int{maxStacks}, f.sizes())
		time.Sleep(9 * time.Second)
		synctest.Wait()
		assert.Len(t, f.sizes(), 1)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, []int{maxStacks, 0}, f.sizes())
		c.Stop()
	})
}

// Stop waits for the period that is being sent; abort cancels it.
func TestStopSendsAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var arrived, aborted atomic.Int32
		slow := func(ctx context.Context, _ *period) {
			select {
			case <-time.After(time.Minute):
				arrived.Add(1)
			case <-ctx.Done():
				aborted.Add(1)
			}
		}
		run := func() *sampleCollector {
			c := newSampleCollector(10*time.Second, slow, func() {})
			ctx, cancel := context.WithCancel(t.Context())
			require.NoError(t, c.Start(ctx))
			time.Sleep(11 * time.Second) // the first period is being sent
			cancel()
			return c
		}
		run().Stop()
		assert.EqualValues(t, 2, arrived.Load(), "the period that was being sent, and the last one")
		assert.Zero(t, aborted.Load())

		c := run()
		start := time.Now()
		time.AfterFunc(2*time.Second, c.abort)
		c.Stop()
		assert.Equal(t, 2*time.Second, time.Since(start))
		assert.EqualValues(t, 2, arrived.Load())
		assert.EqualValues(t, 2, aborted.Load())
	})
}

// The profiler calls Stop without Start if the kernel has no eBPF.
func TestStopWithoutStart(t *testing.T) {
	var f flushed
	c := newSampleCollector(time.Second, f.flush, f.onStop)
	c.abort()
	c.Stop()
	assert.Empty(t, f.periods)
	assert.Equal(t, 1, f.stops)
}

// No sample is lost or counted twice between periods.
func TestConcurrency(t *testing.T) {
	const workers, each = 4, 2000
	var total atomic.Int64
	c := newSampleCollector(time.Millisecond, func(_ context.Context, p *period) {
		p.assignUnseen()
		for _, s := range p.processes {
			for _, values := range counted(s) {
				for _, v := range values {
					total.Add(v)
				}
			}
		}
	}, func() {})
	require.NoError(t, c.Start(t.Context()))
	stacks := []string{"a", "b", "c", "d", "e"}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				report(t, c, frames(stacks[n%len(stacks)], "main"), metaOf(10+(w+n)%3, "/x"))
			}
		})
	}
	wg.Wait()
	c.Stop()
	assert.EqualValues(t, workers*each, total.Load())
}
