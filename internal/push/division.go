package push

import (
	"context"
	"slices"
)

// Divisible is a request that an endpoint refused as a whole, although only some of
// its items may be at fault. P is a part of the request, and R is the reason why a
// part was refused. Each item is in one part at a time. A [Division] calls the
// methods on the goroutine of its caller, one at a time.
type Divisible[P, R any] interface {
	// Send sends a part. It returns nil if the endpoint accepts the part, or why it
	// refuses the part for good. An error ends the division: the endpoint does not
	// accept requests now, or the exporter stops. This part and the pending ones are
	// then neither sent nor dropped.
	Send(ctx context.Context, part P) (refusal *R, err error)
	// Split divides a part that was refused. It drops the items that are in none of
	// the parts it returns, which are all items if the part cannot be divided. It
	// reports whether the parts have to be sent in order: each part, with everything
	// it is divided into, before the next one and before all pending parts.
	Split(part P, why R) (parts []P, inOrder bool)
	// Drop drops a part when the budget is used up.
	Drop(part P, why R)
}

// Budget bounds the requests that are spent on one refused request.
type Budget struct {
	// Requests is the number of requests that may be sent.
	Requests int
	// Reserve is added to Requests when the endpoint accepts the first part.
	Reserve int
	// SendPending sends each pending part once, without dividing it, when the budget
	// is used up. Otherwise pending parts are dropped. It is meant for parts that are
	// sent in order, of which few are pending.
	SendPending bool
}

// Division sends the parts of a refused request and divides those that are refused
// again, until each item is accepted or dropped, or until the budget is used up. It is
// not safe for concurrent use.
type Division[P, R any] struct {
	request  Divisible[P, R]
	budget   Budget
	last     R // why the last part was refused
	sent     int
	accepted bool
}

// NewDivision returns a division of the request.
func NewDivision[P, R any](request Divisible[P, R], budget Budget) *Division[P, R] {
	return &Division[P, R]{request: request, budget: budget}
}

// Sent returns the number of requests that were sent.
func (d *Division[P, R]) Sent() int { return d.sent }

// Accepted reports whether the endpoint has accepted a part.
func (d *Division[P, R]) Accepted() bool { return d.accepted }

// Divide divides a part that the endpoint has refused, and sends the results. It
// returns the error of [Divisible.Send], if any.
func (d *Division[P, R]) Divide(ctx context.Context, part P, why R) error {
	d.last = why
	parts, _ := d.request.Split(part, why)
	return d.Send(ctx, parts...)
}

// Send sends parts and divides those that the endpoint refuses. Parts that need no
// order are sent after the pending ones: the largest parts are sent first, so that
// most items are accepted after few requests. Send returns the error of
// [Divisible.Send], if any.
func (d *Division[P, R]) Send(ctx context.Context, pending ...P) error {
	for len(pending) > 0 {
		part := pending[0]
		pending = pending[1:]
		if d.isSpent() && !d.budget.SendPending {
			d.request.Drop(part, d.last)
			continue
		}
		d.sent++
		refusal, err := d.request.Send(ctx, part)
		switch {
		case err != nil:
			return err
		case refusal == nil:
			d.accept()
			continue
		}
		d.last = *refusal
		if d.isSpent() {
			d.request.Drop(part, d.last)
			continue
		}
		parts, inOrder := d.request.Split(part, d.last)
		if inOrder {
			pending = slices.Concat(parts, pending)
		} else {
			pending = slices.Concat(pending, parts)
		}
	}
	return nil
}

func (d *Division[P, R]) isSpent() bool { return d.sent >= d.budget.Requests }

func (d *Division[P, R]) accept() {
	d.accepted = true
	d.budget.Requests += d.budget.Reserve
	d.budget.Reserve = 0
}
