package walrecord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/value"
)

// Handler receives the contents of a record. The methods are called in this order.
// Slices are valid during the call only.
type Handler interface {
	Symbol(number uint64, s []byte)
	Pair(number, name, value uint64)
	Family(number uint64, typ byte, name, help, unit uint64)
	Series(number, family uint64, pairs []uint64)
	Sample(s *Sample)
}

var errShort = errors.New("record ends early")

// Decode decodes a record. If it returns an error, the handler has received what
// comes before the error.
func Decode(record []byte, h Handler) error { return decode(record, h, true) }

// DecodeDefinitions decodes the definitions of a record, without its samples.
func DecodeDefinitions(record []byte, h Handler) error { return decode(record, h, false) }

func decode(record []byte, h Handler, samples bool) error {
	d := cursor{b: record}
	if f := d.byte(); d.err == nil && f != format {
		return fmt.Errorf("record has format %d, not %d", f, format)
	}
	base := d.varint()
	var first, count [4]uint64
	for i := range first {
		first[i], count[i] = d.uvarint(), d.uvarint()
		// Each definition takes at least a byte, each number is 64 bits.
		if count[i] > uint64(len(record)) || first[i] > math.MaxUint64-1-count[i] {
			return fmt.Errorf("record claims %d definitions from number %d", count[i], first[i])
		}
	}
	for i := range count[0] {
		s := d.bytes()
		if d.err != nil {
			return fmt.Errorf("symbol: %w", d.err)
		}
		h.Symbol(first[0]+i, s)
	}
	for i := range count[1] {
		name, value := d.uvarint(), d.uvarint()
		if d.err != nil {
			return fmt.Errorf("pair: %w", d.err)
		}
		h.Pair(first[1]+i, name, value)
	}
	for i := range count[2] {
		typ, name, help, unit := d.byte(), d.uvarint(), d.uvarint(), d.uvarint()
		if d.err != nil {
			return fmt.Errorf("family: %w", d.err)
		}
		h.Family(first[2]+i, typ, name, help, unit)
	}
	var pairs []uint64
	for i := range count[3] {
		family, n := d.uvarint()-1, d.uvarint()
		if n > uint64(len(d.b)) {
			d.err = errShort
		}
		pairs = pairs[:0]
		for range n {
			if d.err != nil {
				break
			}
			pairs = append(pairs, d.uvarint())
		}
		if d.err != nil {
			return fmt.Errorf("series: %w", d.err)
		}
		h.Series(first[3]+i, family, pairs)
	}
	if !samples {
		return d.err
	}
	return decodeSamples(&d, base, h)
}

func decodeSamples(d *cursor, base int64, h Handler) error {
	var next uint64
	var s Sample
	for len(d.b) > 0 && d.err == nil {
		tag := d.byte()
		s = Sample{Series: next, T: base}
		if tag&tagSeries != 0 {
			s.Series += uint64(d.varint())
		}
		next = s.Series + 1
		if tag&tagTime != 0 {
			s.T += d.varint()
		}
		if tag&tagStart != 0 {
			s.Start = s.T - d.varint()
		}
		switch tag & tagKind {
		case kindInt:
			s.V = float64(d.varint())
		case kindFloat:
			s.V = d.float()
		case kindStale:
			s.V = math.Float64frombits(value.StaleNaN)
		case kindHist:
			s.Histogram = d.bytes()
		}
		if tag&tagExemplars != 0 {
			s.Exemplars = d.exemplars(s.T)
		}
		if tag&^(tagKind|tagSeries|tagTime|tagStart|tagExemplars) != 0 && d.err == nil {
			d.err = fmt.Errorf("unknown tag %#x", tag)
		}
		if d.err != nil {
			return fmt.Errorf("sample: %w", d.err)
		}
		h.Sample(&s)
	}
	return d.err
}

// cursor reads from b. It keeps the first error, and returns zeros after it.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail() {
	if c.err == nil {
		c.err = errShort
	}
	c.b = nil
}

func (c *cursor) byte() byte {
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) varint() int64 {
	v, n := binary.Varint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) float() float64 {
	if len(c.b) < 8 {
		c.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(c.b))
	c.b = c.b[8:]
	return v
}

// bytes returns a length-prefixed part of the record. It is not nil unless there
// is an error.
func (c *cursor) bytes() []byte {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	if v == nil {
		v = []byte{}
	}
	return v
}

func (c *cursor) exemplars(t int64) []Exemplar {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	xs := make([]Exemplar, 0, min(n, 16))
	for range n {
		x := Exemplar{T: t + c.varint(), V: c.float()}
		labels := c.uvarint()
		if labels > uint64(len(c.b)) {
			c.fail()
		}
		for range labels {
			if c.err != nil {
				return nil
			}
			x.Labels = append(x.Labels, Label{Name: string(c.bytes()), Value: string(c.bytes())})
		}
		if c.err != nil {
			return nil
		}
		xs = append(xs, x)
	}
	return xs
}
