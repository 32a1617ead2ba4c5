package lokiapi

import (
	"fmt"

	"github.com/invar-otel/invar/internal/config/bytesize"
)

// Budget is the memory that a request may still take. A request of a few
// kilobytes can stand for gigabytes: an empty stream or entry is two bytes in
// protobuf, and they compress a hundredfold. So whoever decodes a request takes
// the size of what is about to be allocated, before allocating it. A Budget is
// not safe for concurrent use.
type Budget struct{ limit, left int64 }

// NewBudget returns the budget of a request that may take limit bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit, left: limit} }

// Take takes n bytes. It returns an error that wraps [ErrTooLarge] if they are
// not left.
func (b *Budget) Take(n int64) error {
	if n > b.left {
		b.left = 0 // of a request that is too large nothing more is allocated
		return fmt.Errorf("%w: decoded, its streams and entries take more than %s of memory; send fewer at a time", ErrTooLarge, bytesize.Size(b.limit))
	}
	b.left -= n
	return nil
}

// What decoding allocates for each of a kind, in bytes: twice the size of what is
// kept in a slice, because slices are copied while they grow. Parsing the labels
// of a stream allocates about as much again.
const (
	streamCost   = 2*48 + 416
	entryCost    = 2 * 88
	metadataCost = 2 * 32
	stringCost   = 16 // that the allocator may round up to
)
