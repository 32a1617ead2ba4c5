package pprofconv

import (
	"errors"
	"fmt"
	"sync/atomic"
)

// ErrTooLarge is wrapped by errors for input that would need more memory than a Budget has.
var ErrTooLarge = errors.New("too large")

// ErrBusy is wrapped by errors for input that is refused for now, because other work uses
// the memory of the Pool.
var ErrBusy = errors.New("too much is under way")

// Pool limits the memory of concurrent Budgets. It is safe for concurrent use. A nil Pool
// has no limit.
type Pool struct {
	limit int64
	used  atomic.Int64
}

// NewPool returns a Pool of limit bytes.
func NewPool(limit int64) *Pool { return &Pool{limit: limit} }

// reserve takes n bytes of the pool and reports whether they were available.
func (p *Pool) reserve(n int64) bool {
	if p.used.Add(n) > p.limit {
		p.used.Add(-n)
		return false
	}
	return true
}

// Budget accounts for the memory needed to read one request or response, before it is
// allocated. Sizes are those of Go structures on 64-bit platforms: a nearly empty element
// counts with the size of its structure, not with the two bytes it has in protobuf. A
// Budget must not be used concurrently. A nil Budget has no limit.
type Budget struct {
	pool        *Pool
	limit, used int64
	total       int64 // ever taken, including what was returned
	reserved    int64 // of the pool
}

// totalPerLimit limits the work on input that is refused after it has been read: at most
// this many times the limit can be taken in total, however much is returned.
const totalPerLimit = 4

// NewBudget returns a Budget of limit bytes, taken from pool unless that is nil.
func NewBudget(limit int64, pool *Pool) *Budget { return &Budget{limit: limit, pool: pool} }

// budgetError describes which limit was exceeded.
type budgetError struct {
	kind  error // ErrTooLarge or ErrBusy
	what  string
	limit int64 // bytes
}

// Error implements error.
func (e *budgetError) Error() string {
	return fmt.Sprintf("%s more than %d bytes of memory", e.what, e.limit)
}

// Unwrap returns ErrTooLarge or ErrBusy.
func (e *budgetError) Unwrap() error { return e.kind }

// reserveStep is the minimum that a Budget takes of its Pool at once, in bytes.
const reserveStep = 1 << 18

// Take takes n bytes. If that fails it takes nothing, and the error wraps ErrTooLarge or
// ErrBusy.
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
		if !b.pool.reserve(step) {
			return &budgetError{ErrBusy, "what is under way takes", b.pool.limit}
		}
		b.reserved += step
	}
	b.used += n
	b.total += n
	return nil
}

// Used returns the bytes in use.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used
}

// Return resets the bytes in use to an earlier result of Used. The memory taken since must
// be garbage.
func (b *Budget) Return(used int64) {
	if b != nil {
		b.used = used
	}
}

// Give returns n bytes, which must be garbage.
func (b *Budget) Give(n int64) { b.Return(b.Used() - n) }

// Close returns everything to the Pool. The Budget must not be used afterwards.
func (b *Budget) Close() {
	if b == nil {
		return
	}
	if b.pool != nil {
		b.pool.used.Add(-b.reserved)
	}
	b.used, b.reserved = 0, 0
}
