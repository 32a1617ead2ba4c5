package lokiapi

import (
	"errors"
	"fmt"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// ErrTooLarge is wrapped by the error for a request that is larger than allowed.
// Loki answers such a request with 413.
var ErrTooLarge = errors.New("request body too large")

// DecodeSnappy decodes a request in protobuf from a snappy block, which may
// decompress to limit bytes. The result does not refer to body.
func DecodeSnappy(body []byte, limit int, b *Budget) (*push.PushRequest, error) {
	n, err := s2.DecodedLen(body)
	if err != nil {
		return nil, fmt.Errorf("the body is not a snappy block: %w", err)
	}
	if n > limit {
		return nil, fmt.Errorf("%w: %d bytes, limit: %d bytes", ErrTooLarge, n, limit)
	}
	plain, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("the body is not a snappy block: %w", err)
	}
	return DecodeProtobuf(plain, b)
}

// DecodeProtobuf decodes a request in protobuf. The result does not refer to plain.
func DecodeProtobuf(plain []byte, b *Budget) (*push.PushRequest, error) {
	err := weigh(plain, b)
	if errors.Is(err, ErrTooLarge) {
		return nil, err
	}
	var r push.PushRequest
	if err == nil {
		err = r.Unmarshal(plain)
	}
	if err != nil {
		return nil, fmt.Errorf("the body is not a push request: %w", err)
	}
	return &r, nil
}
