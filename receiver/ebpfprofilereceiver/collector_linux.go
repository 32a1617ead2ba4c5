//go:build linux && (amd64 || arm64)

package ebpfprofilereceiver

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/ebpf-profiler/libpf"
	"go.opentelemetry.io/ebpf-profiler/reporter"
	"go.opentelemetry.io/ebpf-profiler/reporter/samples"
)

// sampleCollector is the profiler's reporter: it counts samples by process and stack,
// and hands them on once in every interval, or earlier when they are many.
type sampleCollector struct {
	interval time.Duration
	// flush is called by one goroutine, and owns the period. Its context ends with
	// abort only.
	flush func(context.Context, *period)
	// stopped is called when the profiler stops the collector.
	stopped func()

	mu     sync.Mutex
	period *period
	full   chan struct{} // tells run of a period that has no room; holds one

	// Nil until Start.
	stop, giveUp context.CancelFunc
	done         sync.WaitGroup
}

var _ reporter.Reporter = (*sampleCollector)(nil)

func newSampleCollector(interval time.Duration, flush func(context.Context, *period), stopped func()) *sampleCollector {
	return &sampleCollector{
		interval: interval, flush: flush, stopped: stopped, period: newPeriod(), full: make(chan struct{}, 1),
	}
}

// Start implements reporter.Reporter.
func (c *sampleCollector) Start(ctx context.Context) error {
	c.mu.Lock()
	c.period = newPeriod()
	c.mu.Unlock()
	// The profiler cancels ctx before it calls Stop: what was sampled last is
	// still to be sent, and what is being sent is to arrive.
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	running, stop := context.WithCancel(sending)
	c.stop, c.giveUp = stop, giveUp
	c.done.Go(func() { c.run(running, sending) })
	return nil
}

func (c *sampleCollector) run(running, sending context.Context) {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.full:
			tick.Reset(c.interval)
		case <-running.Done():
		}
		ended := running.Err() != nil // maybe at the time of a tick
		c.flush(sending, c.take())
		if ended {
			return
		}
	}
}

// Stop implements reporter.Reporter: what was sampled is sent. It waits for that
// unless abort is called.
func (c *sampleCollector) Stop() {
	if c.stop != nil {
		c.stop()
		c.done.Wait()
		c.giveUp()
	}
	c.stopped()
}

// abort gives up what is being sent. It may be called at any time after Start.
func (c *sampleCollector) abort() {
	if c.giveUp != nil {
		c.giveUp()
	}
}

// take ends the period and begins a new one.
func (c *sampleCollector) take() *period {
	next := newPeriod()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.period
	c.period, p.end = next, next.start
	select {
	case <-c.full: // it was this one
	default:
	}
	return p
}

var errNoType = errors.New("a sample has no type")

// ReportTraceEvent implements reporter.TraceReporter. The profiler calls it for
// every sample. The frames become the collector's; nothing else is kept.
func (c *sampleCollector) ReportTraceEvent(trace *libpf.Trace, meta *samples.TraceEventMeta) error {
	if meta.ProfileType == nil {
		return errNoType
	}
	value := int64(1)
	if meta.ProfileType.ReportValues {
		value = meta.Value
	}
	at := stackKey{
		hash: hash(trace.Frames), typ: meta.ProfileType, span: meta.SpanID, trace: meta.TraceID, labels: labelsOf(trace),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.period.add(at, trace.Frames, value, meta)
	if c.period.stacks >= maxStacks {
		select {
		case c.full <- struct{}{}:
		default:
		}
	}
	return nil
}
