package push

import (
	"context"
	"time"
)

// Request is what an exporter sends in one piece: items of a batch, all of one
// tenant. No item is in two requests at a time. A [Pusher] calls the methods of a
// request one at a time, on the goroutine that called [Pusher.Send]; requests
// that are sent concurrently may run theirs concurrently. A request may refer to
// the batch it was made of, which lives until the exporter's push returns.
type Request interface {
	// Post encodes the request, sends it, and reads the answer. It returns after
	// one attempt, or early if ctx ends. What it has encoded belongs to the
	// request.
	Post(ctx context.Context) Answer
	// Accept notes that the items are done, as the store has them.
	Accept()
	// Drop notes that the items are done, as nothing takes them, and tells the
	// Pusher so with [Pusher.Refused].
	Drop(why Refusal)
	// Split returns requests with the items of this one, which was refused; they
	// are sent in turn. It drops the items that are in none of them: those that
	// it knows to be at fault, or all if the request cannot be divided.
	Split(why Refusal) []Request
}

// Verdict is what becomes of a request.
type Verdict int

const (
	// Accepted means that the store has the items.
	Accepted Verdict = iota
	// Refused means that the store will never take the request as it is.
	Refused
	// Discarded means that the store takes none of the items, divided or not, and
	// does not want to see them again.
	Discarded
	// Delayed means that the request may be taken later.
	Delayed
)

// Answer is the outcome of one attempt.
type Answer struct {
	Verdict Verdict
	// Refusal is why, unless the request was accepted.
	Refusal Refusal
	// Err is what a delayed request waits for.
	Err error
	// RetryAfter is how long the store wants a delayed request to wait; 0 if it
	// does not say.
	RetryAfter time.Duration

	// Status is that of HTTP, 0 if there was no answer.
	Status int
	// Took is the time until the store answered.
	Took time.Duration
	// Bytes is the size of the request's content.
	Bytes int
}

// Refusal is why a request was not accepted.
type Refusal struct {
	Reason Reason
	Words  string // of the store
}

// Reason is the name under which a store counts what it refuses.
type Reason string

// Reasons that all stores have, and the exporters' own.
const (
	RateLimited  Reason = "rate_limited"
	BodyTooLarge Reason = "request_body_too_large"
	// InvalidTenant is the exporters' own: no store would take such a tenant.
	InvalidTenant Reason = "invalid_tenant"
	// UnknownReason is one that the answer does not reveal.
	UnknownReason Reason = "unknown"
)
