package queue

import (
	"context"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
)

// Deliver sends the samples of a request until the endpoint has accepted or
// refused each of them. Each shard calls it from its own goroutine, with one
// request at a time. When Request.Draining is closed, the queue shuts down:
// Deliver then tries once more at most. It returns soon when ctx ends.
type Deliver func(ctx context.Context, r *Request) Result

// Result is how a delivery ended.
type Result int

const (
	// Settled means that the endpoint has accepted or refused each sample.
	Settled Result = iota
	// Interrupted means that some samples are unsettled, because the queue
	// shuts down. The log keeps them.
	Interrupted
)

// Request is what a shard sends at a time. It is good until Deliver returns.
type Request struct {
	// Items are the samples, a part of the queue in memory: two slices where it
	// wraps around. They are not to be changed.
	Items [2][]remotewrite.Item
	// Body is for the encoded request. The shard keeps it for the next one.
	Body []byte
	// Draining is closed when the queue shuts down.
	Draining <-chan struct{}

	extras func(n uint32) *remotewrite.Extra
}

// Len returns the number of samples.
func (r *Request) Len() int { return len(r.Items[0]) + len(r.Items[1]) }

// Extra returns what Item.Extra stands for.
func (r *Request) Extra(n uint32) *remotewrite.Extra { return r.extras(n) }
