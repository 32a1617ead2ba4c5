package collector

import (
	"context"
	"sync"
	"time"

	"github.com/invar-otel/invar/internal/reloading"
)

// controller accepts requests for reloads and answers them with the outcome. It
// implements reloading.Controller and is safe for concurrent use.
type controller struct {
	asked chan struct{} // readable while requests are waiting
	tasks sync.WaitGroup

	mu          sync.Mutex
	waiting     []request
	isEnding    bool
	status      reloading.Status
	files       []reloading.ConfigFile
	counts      map[outcomeKey]int64
	lastSuccess time.Time // when the running configuration took effect
}

type outcomeKey struct {
	result  reloading.Result
	trigger reloading.Trigger
}

// request is one call of Reload. answer has room for its only answer.
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

// ask queues a request and returns the channel of its answer.
func (c *controller) ask(trigger reloading.Trigger) <-chan outcome {
	r := request{trigger, make(chan outcome, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isEnding {
		r.answer <- outcome{err: reloading.ErrEnding}
		return r.answer
	}
	c.waiting = append(c.waiting, r)
	c.wake()
	return r.answer
}

// wake makes asked readable.
func (c *controller) wake() {
	select {
	case c.asked <- struct{}{}:
	default: // it is already
	}
}

// takeRequests returns all waiting requests and the trigger of the one reload that
// serves them. A trigger that wants a restart takes precedence over a watcher.
func (c *controller) takeRequests() (reloading.Trigger, []request) {
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

// finish records an attempt and answers the requests for it.
func (c *controller) finish(a reloading.Attempt, requests []request) {
	c.mu.Lock()
	c.status.LastAttempt = &a
	if a.Result != reloading.Unchanged {
		c.counts[outcomeKey{a.Result, a.Trigger}]++
	}
	c.mu.Unlock()
	reply(requests, outcome{a.Result, a.Err})
}

// end answers all waiting and all later requests with ErrEnding.
func (c *controller) end() {
	c.mu.Lock()
	requests := c.waiting
	c.waiting, c.isEnding = nil, true
	c.mu.Unlock()
	reply(requests, outcome{err: reloading.ErrEnding})
}

func reply(requests []request, o outcome) {
	for _, r := range requests {
		r.answer <- o
	}
}

// setRunning records the running generation; nil if none runs, which leaves the
// number of generations as it is.
func (c *controller) setRunning(g *generation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g == nil {
		c.status.RunningSince = time.Time{}
		return
	}
	c.status.Generation, c.status.RunningSince, c.status.Hash = g.number, g.started, g.source.hash
}

// setApplied records when the running configuration took effect, once it has
// settled.
func (c *controller) setApplied(since time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastSuccess = since
}

// setFiles records the files that ConfigFiles returns.
func (c *controller) setFiles(files []reloading.ConfigFile) {
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

// ConfigFiles implements reloading.Controller. The caller must not change the slice.
func (c *controller) ConfigFiles() []reloading.ConfigFile {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.files
}

// Go implements reloading.Controller.
func (c *controller) Go(f func()) { c.tasks.Go(f) }
