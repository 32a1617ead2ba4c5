package pprofconv

import (
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
)

var errWireType = errors.New("a field has a wrong wire type")

func notMessage(err error) error { return fmt.Errorf("not a pprof message: %w", err) }

// fields calls each for every field of a message. value is set for varints, and at, a subslice
// of data, for length-delimited fields.
func fields(data []byte, each func(field protowire.Number, kind protowire.Type, value uint64, at []byte) error) error {
	for len(data) > 0 {
		field, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return notMessage(protowire.ParseError(n))
		}
		data = data[n:]
		var value uint64
		var at []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(data)
		case protowire.BytesType:
			at, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(field, kind, data)
		}
		if n < 0 {
			return notMessage(protowire.ParseError(n))
		}
		data = data[n:]
		if err := each(field, kind, value, at); err != nil {
			return err
		}
	}
	return nil
}

// packed calls each for the numbers of a repeated field, packed or not.
func packed(kind protowire.Type, value uint64, at []byte, each func(uint64)) error {
	switch kind {
	case protowire.VarintType:
		each(value)
		return nil
	case protowire.BytesType:
		for len(at) > 0 {
			v, n := protowire.ConsumeVarint(at)
			if n < 0 {
				return notMessage(protowire.ParseError(n))
			}
			each(v)
			at = at[n:]
		}
		return nil
	}
	return notMessage(errWireType)
}

// numbersIn returns how many numbers a repeated field has, packed or not. The last byte of a
// number is less than 0x80.
func numbersIn(kind protowire.Type, at []byte) (int, error) {
	if kind == protowire.VarintType {
		return 1, nil
	}
	if kind != protowire.BytesType {
		return 0, notMessage(errWireType)
	}
	if len(at) > 0 && at[len(at)-1] >= 0x80 {
		return 0, notMessage(io.ErrUnexpectedEOF)
	}
	n := 0
	for _, b := range at {
		if b < 0x80 {
			n++
		}
	}
	return n, nil
}

// numberFields calls each for the fields up to last, which must be varints, and ignores others.
func numberFields(data []byte, each func(field protowire.Number, v uint64), last protowire.Number) error {
	return fields(data, func(field protowire.Number, kind protowire.Type, value uint64, _ []byte) error {
		if field > last {
			return nil
		}
		if kind != protowire.VarintType {
			return notMessage(errWireType)
		}
		each(field, value)
		return nil
	})
}
