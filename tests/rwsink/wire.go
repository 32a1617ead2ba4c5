package rwsink

import (
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// cursor walks the fields of one protobuf message without allocating:
//
//	c := cursor{rest: msg}
//	for c.next() {
//		switch c.num { ... c.bytes() ... }
//	}
//	return c.err
//
// If a field is read as another wire type than it has, the next call of next returns
// false and sets err.
type cursor struct {
	rest []byte
	num  protowire.Number
	typ  protowire.Type
	raw  []byte // of a length-delimited field
	bits uint64 // of any other
	err  error
}

func (c *cursor) next() bool {
	if c.err != nil || len(c.rest) == 0 {
		return false
	}
	num, typ, n := protowire.ConsumeTag(c.rest)
	if n < 0 {
		return c.fail(protowire.ParseError(n))
	}
	c.num, c.typ, c.rest = num, typ, c.rest[n:]
	switch typ {
	case protowire.VarintType:
		c.bits, n = protowire.ConsumeVarint(c.rest)
	case protowire.Fixed64Type:
		c.bits, n = protowire.ConsumeFixed64(c.rest)
	case protowire.BytesType:
		c.raw, n = protowire.ConsumeBytes(c.rest)
	default: // remote write has no such field
		n = protowire.ConsumeFieldValue(num, typ, c.rest)
	}
	if n < 0 {
		return c.fail(protowire.ParseError(n))
	}
	c.rest = c.rest[n:]
	return true
}

func (c *cursor) fail(err error) bool {
	c.err = err
	return false
}

// adopt copies the error of a message in the current field.
func (c *cursor) adopt(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *cursor) want(typ protowire.Type) bool {
	if c.typ == typ {
		return true
	}
	return c.fail(fmt.Errorf("field %d has wire type %d, want %d", c.num, c.typ, typ))
}

func (c *cursor) bytes() []byte {
	if !c.want(protowire.BytesType) {
		return nil
	}
	return c.raw
}

func (c *cursor) varint() uint64 {
	if !c.want(protowire.VarintType) {
		return 0
	}
	return c.bits
}

func (c *cursor) zigzag() int64 { return protowire.DecodeZigZag(c.varint()) }

func (c *cursor) double() float64 {
	if !c.want(protowire.Fixed64Type) {
		return 0
	}
	return math.Float64frombits(c.bits)
}

// appendVarints appends a repeated varint, packed or not.
func (c *cursor) appendVarints(to []uint64) []uint64 {
	if c.typ == protowire.VarintType {
		return append(to, c.bits)
	}
	for packed := c.bytes(); len(packed) > 0; {
		v, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			c.fail(protowire.ParseError(n))
			return to
		}
		to, packed = append(to, v), packed[n:]
	}
	return to
}

// appendDoubles appends a repeated double, packed or not.
func (c *cursor) appendDoubles(to []float64) []float64 {
	if c.typ == protowire.Fixed64Type {
		return append(to, c.double())
	}
	for packed := c.bytes(); len(packed) > 0; {
		v, n := protowire.ConsumeFixed64(packed)
		if n < 0 {
			c.fail(protowire.ParseError(n))
			return to
		}
		to, packed = append(to, math.Float64frombits(v)), packed[n:]
	}
	return to
}
