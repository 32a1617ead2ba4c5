package collector

import (
	"context"
	"sync"
	"time"

	"github.com/invar-otel/invar/internal/reloading"
)

// controller is the part of the collector that everybody may call: it takes
// requests for reloads and answers what became of them. It implements
// reloading.Controller.
type controller struct {
	asked chan struct{} // has an element while requests are waiting
	tasks sync.WaitGroup

	mu       sync.Mutex
	waiting  []request
	ended    bool
	status   reloading.Status
	files    []reloading.ConfigFile
	counts   map[outcomeKey]int64
	lastGood time.Time // when the running configuration was applied
}

type outcomeKey struct {
	result  reloading.Result
	trigger reloading.Trigger
}

// request is somebody's wish for a reload; answer has room for the one answer.
type request struct {
	trigger reloading.Trigger
	answer  chan outcome
}

type outcome struct {
	result reloading.Result
	err    error
}

func newController() *controller {
	return &controller{asked: make(chan struct{}, 1), counts: map[outcomeKey]int64{}}
}

// ask leaves a request and returns where its answer will be.
func (c *controller) ask(trigger reloading.Trigger) <-chan outcome {
	r := request{trigger, make(chan outcome, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		r.answer <- outcome{err: reloading.ErrEnding}
		return r.answer
	}
	c.waiting = append(c.waiting, r)
	c.nudge()
	return r.answer
}

// nudge makes asked ready.
func (c *controller) nudge() {
	select {
	case c.asked <- struct{}{}:
	default: // it is
	}
}

// take returns all waiting requests, which one reload serves: it begins after
// each of them was made. Somebody who wants a restart outdoes a watcher.
func (c *controller) take() (reloading.Trigger, []request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	requests := c.waiting
	c.waiting = nil
	if len(requests) == 0 {
		return "", nil
	}
	trigger := requests[0].trigger
	for _, r := range requests {
		if trigger.Watches() && !r.trigger.Watches() {
			trigger = r.trigger
		}
	}
	return trigger, requests
}

// decided notes an attempt and answers those who asked for it.
func (c *controller) decided(a reloading.Attempt, requests []request) {
	c.mu.Lock()
	c.status.LastAttempt = &a
	if a.Result != reloading.Unchanged {
		c.counts[outcomeKey{a.Result, a.Trigger}]++
	}
	c.mu.Unlock()
	reply(requests, outcome{a.Result, a.Err})
}

// end answers everybody who waits, and everybody who asks from now on.
func (c *controller) end() {
	c.mu.Lock()
	requests := c.waiting
	c.waiting, c.ended = nil, true
	c.mu.Unlock()
	reply(requests, outcome{err: reloading.ErrEnding})
}

func reply(requests []request, o outcome) {
	for _, r := range requests {
		r.answer <- o
	}
}

// runs notes the running generation, or that there is none. The number of
// generations stays.
func (c *controller) runs(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g == nil {
		c.status.RunningSince = time.Time{}
		return
	}
	c.status.Generation, c.status.RunningSince, c.status.Hash = g.number, g.started, g.source.hash
}

// applied notes when a configuration took effect that has been found good.
func (c *controller) applied(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastGood = since
}

func (c *controller) reads(files []reloading.ConfigFile) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.files = files
}

// Reload implements reloading.Controller.
func (c *controller) Reload(ctx context.Context, trigger reloading.Trigger) (reloading.Result, error) {
	select {
	case o := <-c.ask(trigger):
		return o.result, o.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Status implements reloading.Controller.
func (c *controller) Status() reloading.Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	if s.LastAttempt != nil {
		a := *s.LastAttempt
		s.LastAttempt = &a
	}
	return s
}

// ConfigFiles implements reloading.Controller. The caller does not change the
// slice.
func (c *controller) ConfigFiles() []reloading.ConfigFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files
}

// Go implements reloading.Controller.
func (c *controller) Go(f func()) { c.tasks.Go(f) }
