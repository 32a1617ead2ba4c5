package lokiapi

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
)

var errTruncated = errors.New("it ends within a field")

// weigh takes what unmarshalling a PushRequest would allocate from the budget, and
// allocates nothing itself. Field numbers are those of push.proto, see protobuf.go.
// Field 4 of an entry holds pairs too.
func weigh(request []byte, b *Budget) error {
	return fields(request, func(number protowire.Number, value []byte) error {
		if number != 1 {
			return nil
		}
		if err := b.Take(streamCost); err != nil {
			return err
		}
		return weighStream(value, b)
	})
}

func weighStream(stream []byte, b *Budget) error {
	return fields(stream, func(number protowire.Number, value []byte) error {
		switch number {
		case 1:
			return b.Take(stringCost + int64(len(value)))
		case 2:
			if err := b.Take(entryCost); err != nil {
				return err
			}
			return weighEntry(value, b)
		}
		return nil
	})
}

func weighEntry(entry []byte, b *Budget) error {
	return fields(entry, func(number protowire.Number, value []byte) error {
		switch number {
		case 2:
			return b.Take(stringCost + int64(len(value)))
		case 3, 4:
			return b.Take(metadataCost + 2*stringCost + int64(len(value)))
		}
		return nil
	})
}

// fields calls f with each length-delimited field of a message.
func fields(message []byte, f func(number protowire.Number, value []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return errTruncated
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return errTruncated
			}
			message = message[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return errTruncated
		}
		message = message[n:]
		if err := f(number, value); err != nil {
			return err
		}
	}
	return nil
}
