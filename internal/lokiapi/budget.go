package lokiapi

import (
	"fmt"

	"github.com/invar-otel/invar/internal/config/bytesize"
)

// Budget is the memory that decoding a request may still allocate. A request of a
// few kilobytes can decode to gigabytes: an empty stream or entry is two bytes of
// protobuf, and those compress a hundredfold. The decoder takes the size of each
// allocation from the budget before it allocates. A Budget is not safe for
// concurrent use.
type Budget struct{ limit, left int64 }

// NewBudget returns a budget of limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, left: limit} }

// Take takes n bytes from the budget. It returns an error that wraps [ErrTooLarge]
// if fewer are left.
func (b *Budget) Take(n int64) error {
	if n > b.left {
		b.left = 0 // allocate nothing more for this request
		return fmt.Errorf("%w: decoded, its streams and entries take more than %s of memory; send fewer at a time", ErrTooLarge, bytesize.Size(b.limit))
	}
	b.left -= n
	return nil
}

// Costs of decoding, in bytes: twice the size of an element of a slice, because
// slices are copied while they grow. Parsing the labels of a stream allocates about
// as much once more.
const (
	streamCost   = 2*48 + 416
	entryCost    = 2 * 88
	metadataCost = 2 * 32
	stringCost   = 16 // the allocator rounds up
)
