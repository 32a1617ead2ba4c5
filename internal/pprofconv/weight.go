package pprofconv

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// MinElement is the least that a sample, location, mapping or function counts in
// Weight, in bytes: those of real profiles have as much, taken together.
const MinElement = 16

// Weight is the size of an uncompressed pprof message, in bytes, by which to limit
// what is parsed. Samples, locations, mappings and functions count at least 16
// each: an empty one is 2 bytes of a message, and 50 to 200 in memory. What is no
// message is an error.
func Weight(message []byte) (int, error) {
	weight := 0
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeField(message)
		if n < 0 {
			return 0, fmt.Errorf("not a pprof message: %w", protowire.ParseError(n))
		}
		message = message[n:]
		if kind == protowire.BytesType && number >= fieldSample && number <= fieldFunction {
			n = max(n, MinElement)
		}
		weight += n
	}
	return weight, nil
}
