package pprofconv

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrTooLarge is why something is refused that would take more memory than a
// Budget has.
var ErrTooLarge = errors.New("too large")

// ErrBusy is why something is refused for now: what is under way takes all the
// memory of a Pool.
var ErrBusy = errors.New("too much is under way")

// Pool bounds the memory that several Budgets take at the same time. It may be
// used concurrently. A nil Pool is without bounds.
type Pool struct {
	limit int64
	used  atomic.Int64
}

// NewPool returns a Pool of this many bytes.
func NewPool(limit int64) *Pool { return &Pool{limit: limit} }

func (p *Pool) take(n int64) bool {
	if p.used.Add(n) > p.limit {
		p.used.Add(-n)
		return false
	}
	return true
}

// Budget counts the memory that reading one request or one answer takes, before
// it is taken. The sizes are those of Go's structures on 64 bits, so that a
// message whose elements are nearly empty counts what it becomes rather than the
// two bytes that an element has in protobuf. It must not be used concurrently. A nil
// Budget is without bounds.
type Budget struct {
	pool        *Pool
	limit, used int64
	total       int64 // what was ever taken, that which was returned included
	reserved    int64 // of the pool
}

// totalPerLimit bounds the work of what is refused after it has been read: a Budget
// gives this many times its limit in all, however much is returned.
const totalPerLimit = 4

// NewBudget returns a Budget of limit bytes, which come from pool if that is not
// nil.
func NewBudget(limit int64, pool *Pool) *Budget { return &Budget{limit: limit, pool: pool} }

// budgetError is ErrTooLarge or ErrBusy.
type budgetError struct {
	kind  error
	what  string
	limit int64 // bytes
}

// Error implements error.
func (e *budgetError) Error() string {
	return fmt.Sprintf("%s more than %d bytes of memory", e.what, e.limit)
}

// Unwrap returns ErrTooLarge or ErrBusy.
func (e *budgetError) Unwrap() error { return e.kind }

// reserveStep is how much a Budget takes of its Pool at a time, in bytes.
const reserveStep = 1 << 18

// Take counts n bytes. The error is ErrTooLarge or ErrBusy, and nothing is
// counted then.
func (b *Budget) Take(n int64) error {
	if b == nil {
		return nil
	}
	if n < 0 || n > b.limit-b.used {
		return &budgetError{ErrTooLarge, "it would take", b.limit}
	}
	if n > totalPerLimit*b.limit-b.total {
		return &budgetError{ErrTooLarge, "reading all of it takes", totalPerLimit * b.limit}
	}
	if need := b.used + n - b.reserved; b.pool != nil && need > 0 {
		step := max(need, reserveStep)
		if !b.pool.take(step) {
			return &budgetError{ErrBusy, "what is under way takes", b.pool.limit}
		}
		b.reserved += step
	}
	b.used += n
	b.total += n
	return nil
}

// Used is what is counted now, in bytes.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used
}

// Return makes the count what Used was before: what was taken since is garbage.
func (b *Budget) Return(used int64) {
	if b != nil {
		b.used = used
	}
}

// Give gives n bytes back, which are garbage.
func (b *Budget) Give(n int64) { b.Return(b.Used() - n) }

// Close gives back what was taken of the Pool. The Budget must not be used any
// more.
func (b *Budget) Close() {
	if b == nil {
		return
	}
	if b.pool != nil {
		b.pool.used.Add(-b.reserved)
	}
	b.used, b.reserved = 0, 0
}
