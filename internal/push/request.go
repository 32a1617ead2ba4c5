package push

import (
	"context"
	"time"
)

// Request has the items of a batch that are sent in one request. They are of one
// tenant, and no item is in two requests at a time. A [Pusher] calls the methods on
// the goroutine of [Pusher.Send], one at a time. If requests are sent concurrently,
// their methods run concurrently. A request may refer to its batch, which stays valid
// until Send returns; a Pusher keeps no request after that.
type Request interface {
	// Post encodes the request, sends it once, and reads the answer. It returns when
	// ctx ends.
	Post(ctx context.Context) Answer
	// Accept marks the items as done: the store has accepted them.
	Accept()
	// Drop marks the items as done without the store having them, and calls
	// [Pusher.Refused].
	Drop(why Refusal)
	// Split returns requests with the items of this one, which was refused. They are
	// sent in turn. Split drops the items that are in none of them: those that are
	// known to be at fault, or all if the request cannot be divided.
	Split(why Refusal) []Request
}

// Verdict is what becomes of a request.
type Verdict int

const (
	// Accepted means that the store has the items.
	Accepted Verdict = iota
	// Refused means that the store will never accept the request as it is.
	Refused
	// Discarded means that the store accepts none of the items, also if the request
	// is divided.
	Discarded
	// Delayed means that the store may accept the request later.
	Delayed
)

// Answer is the outcome of one attempt.
type Answer struct {
	Verdict Verdict
	// Refusal is why, unless the request was accepted.
	Refusal Refusal
	// Err is why a request is delayed.
	Err error
	// RetryAfter is the pause that the store asks for before a delayed request is
	// sent again; 0 for none.
	RetryAfter time.Duration

	// Status is the HTTP status, 0 if there was no answer.
	Status int
	// Took is the time until the store answered.
	Took time.Duration
	// Bytes is the size of the request's content.
	Bytes int
}

// Refusal is why a request was not accepted.
type Refusal struct {
	Reason Reason
	Words  string // text of the answer
}

// Reason is the name under which a store counts what it refuses.
type Reason string

// Reasons that are common to all stores.
const (
	RateLimited  Reason = "rate_limited"
	BodyTooLarge Reason = "request_body_too_large"
	// InvalidTenant is the exporters' own: no store would accept the tenant.
	InvalidTenant Reason = "invalid_tenant"
	// UnknownReason is the exporters' own: the answer does not reveal a reason.
	UnknownReason Reason = "unknown"
)
