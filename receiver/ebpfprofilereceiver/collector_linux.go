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

// sampleCollector is the profiler's reporter. It counts samples by process and stack
// and flushes them at the end of every interval, or earlier if there are many stacks.
type sampleCollector struct {
	interval time.Duration
	// flush is called by one goroutine and owns the period. Its context ends only if
	// abort is called.
	flush func(context.Context, *period)
	// onStop is called when the profiler stops the collector.
	onStop func()

	mu     sync.Mutex
	period *period
	full   chan struct{} // signals run that the period is full; capacity 1

	// The functions are nil until Start.
	stop, cancelSend context.CancelFunc
	running          sync.WaitGroup
}

var _ reporter.Reporter = (*sampleCollector)(nil)

func newSampleCollector(interval time.Duration, flush func(context.Context, *period), onStop func()) *sampleCollector {
	return &sampleCollector{
		interval: interval, flush: flush, onStop: onStop, period: newPeriod(), full: make(chan struct{}, 1),
	}
}

// Start implements reporter.Reporter.
func (c *sampleCollector) Start(ctx context.Context) error {
	c.mu.Lock()
	c.period = newPeriod()
	c.mu.Unlock()
	// The profiler cancels ctx before it calls Stop, but the last samples must still
	// be sent.
	sendCtx, cancelSend := context.WithCancel(context.WithoutCancel(ctx))
	runCtx, stop := context.WithCancel(sendCtx)
	c.stop, c.cancelSend = stop, cancelSend
	c.running.Go(func() { c.run(runCtx, sendCtx) })
	return nil
}

// run flushes periods until runCtx ends. sendCtx is the context of flush.
func (c *sampleCollector) run(runCtx, sendCtx context.Context) {
	tick := time.NewTicker(c.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.full:
			tick.Reset(c.interval)
		case <-runCtx.Done():
		}
		isLast := runCtx.Err() != nil // read before the flush: a tick may be selected at the same time
		c.flush(sendCtx, c.rotate())
		if isLast {
			return
		}
	}
}

// Stop implements reporter.Reporter. It flushes the last period and waits for that
// unless abort is called.
func (c *sampleCollector) Stop() {
	if c.stop != nil {
		c.stop()
		c.running.Wait()
		c.cancelSend()
	}
	c.onStop()
}

// abort cancels the flush that is running. It may be called at any time after Start.
func (c *sampleCollector) abort() {
	if c.cancelSend != nil {
		c.cancelSend()
	}
}

// rotate ends the period, starts a new one and returns the ended one.
func (c *sampleCollector) rotate() *period {
	next := newPeriod()
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.period
	c.period, p.end = next, next.start
	select {
	case <-c.full: // the signal was about this period
	default:
	}
	return p
}

var errNoType = errors.New("a sample has no type")

// ReportTraceEvent implements reporter.TraceReporter. The profiler calls it for every
// sample. It takes ownership of the frames and retains nothing else.
func (c *sampleCollector) ReportTraceEvent(trace *libpf.Trace, meta *samples.TraceEventMeta) error {
	if meta.ProfileType == nil {
		return errNoType
	}
	value := int64(1)
	if meta.ProfileType.ReportValues {
		value = meta.Value
	}
	key := stackKey{
		hash: hash(trace.Frames), typ: meta.ProfileType, span: meta.SpanID, trace: meta.TraceID, labels: labelsOf(trace),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.period.add(key, trace.Frames, value, meta)
	if c.period.stacks >= maxStacks {
		select {
		case c.full <- struct{}{}:
		default:
		}
	}
	return nil
}
