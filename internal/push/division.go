package push

import (
	"context"
	"slices"
)

// Divisible is a request that an endpoint refused as a whole although only some
// of its items are at fault. P is a part of the request, R is why a part was
// refused. The parts own no items in common: each item is in one part at a time.
// A [Division] calls the methods one at a time, on the goroutine of its caller.
type Divisible[P, R any] interface {
	// Send sends a part and returns nil if the endpoint accepts it, or why it
	// refuses it for good. An error ends the division, without the part and those
	// that follow: the endpoint does not take them now, or the exporter stops.
	Send(ctx context.Context, part P) (refusal *R, err error)
	// Split divides a part that was refused. It drops the items that are in none
	// of the parts it returns; if the part cannot be divided, these are all. It
	// reports whether the parts have to be sent one after the other, each with all
	// that it is divided into, before anything else.
	Split(part P, why R) (parts []P, inOrder bool)
	// Drop drops a part that is not divided any further.
	Drop(part P, why R)
}

// Budget bounds the requests that are spent on one refused request.
type Budget struct {
	// Requests may be sent.
	Requests int
	// Reserve is added when the endpoint accepts a part.
	Reserve int
	// SendPending sends the parts that are left when the budget is used up, once
	// and undivided. Otherwise they are dropped, unsent. If all parts are sent in
	// order, those left are at most as many as a part was divided times.
	SendPending bool
}

// Division sends the parts of a refused request, and divides those that are
// refused again, until the items at fault are alone and dropped, all others are
// accepted, or the budget is used up. It is not safe for concurrent use.
type Division[P, R any] struct {
	request  Divisible[P, R]
	budget   Budget
	last     R // why the last part was refused
	sent     int
	accepted bool
}

// NewDivision returns a division of the request, with the whole budget.
func NewDivision[P, R any](request Divisible[P, R], budget Budget) *Division[P, R] {
	return &Division[P, R]{request: request, budget: budget}
}

// Sent returns the number of requests that were spent.
func (d *Division[P, R]) Sent() int { return d.sent }

// Accepted reports whether the endpoint has accepted a part.
func (d *Division[P, R]) Accepted() bool { return d.accepted }

// Divide divides a part that the endpoint has refused, and sends what it is
// divided into. It returns the error of [Divisible.Send], if any.
func (d *Division[P, R]) Divide(ctx context.Context, part P, why R) error {
	d.last = why
	parts, _ := d.request.Split(part, why)
	return d.Send(ctx, parts...)
}

// Send sends parts, and divides those that the endpoint refuses. Parts that need
// no order are divided after those that wait: the largest are sent first, so
// that what is not at fault leaves in few requests. It returns the error of
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
