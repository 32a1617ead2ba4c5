package pyroscopereceiver

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// elementCost is the approximate memory of a series, label or sample of a push in
// addition to its contents, in bytes. It includes the growth of slices.
const elementCost = 176

// elementsPerBody bounds the memory of a request's elements, in multiples of the
// limit for the request's size. Real pushes have few elements and much content.
const elementsPerBody = 4

// codecs returns Connect's codecs for protobuf and JSON, which refuse requests that
// would take much more memory than their size: an empty series is 2 bytes.
func codecs(maxBody int64) []connect.HandlerOption {
	limit := elementsPerBody * maxBody
	weighed := codec{name: "proto", limit: limit, weigh: protoCost, read: proto.Unmarshal, write: proto.Marshal}
	json := codec{
		name: "json", limit: limit, weigh: jsonCost,
		read: readJSON, write: protojson.Marshal,
	}
	utf8 := json
	utf8.name = "json; charset=utf-8"
	return []connect.HandlerOption{connect.WithCodec(weighed), connect.WithCodec(json), connect.WithCodec(utf8)}
}

// codec implements connect.Codec.
type codec struct {
	name  string
	limit int64 // largest cost of a message, in bytes
	weigh func(data []byte) int64
	read  func(data []byte, to proto.Message) error
	write func(proto.Message) ([]byte, error)
}

// Name implements connect.Codec.
func (c codec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c codec) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("a %T is not a protobuf message", message)
	}
	return c.write(m)
}

// Unmarshal implements connect.Codec.
func (c codec) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("a %T is not a protobuf message", message)
	}
	if cost := c.weigh(data); cost > c.limit {
		return fmt.Errorf("the request is %w: its series, labels and samples would take %d bytes of memory; limit: %d (%d × max_request_body_size)",
			errTooLarge, cost, c.limit, elementsPerBody)
	}
	return c.read(data, m)
}

// protoCost returns the approximate memory for reading a push, in bytes. It counts
// every message in it: series, and their labels, samples and annotations.
func protoCost(data []byte) int64 {
	cost := int64(len(data))
	for len(data) > 0 {
		_, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			break // not a message; decoding also stops here
		}
		data = data[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(1, kind, data); n < 0 {
				break
			}
			data = data[n:]
			continue
		}
		series, n := protowire.ConsumeBytes(data)
		if n < 0 {
			break
		}
		data = data[n:]
		cost += elementCost
		for len(series) > 0 {
			_, _, n := protowire.ConsumeField(series)
			if n < 0 {
				break
			}
			series = series[n:]
			cost += elementCost
		}
	}
	return cost
}

// jsonCost returns the approximate memory for reading a push, in bytes. Every
// element of a list and every field follows one of the counted characters, which do
// not occur in base64.
func jsonCost(data []byte) int64 {
	cost := int64(len(data))
	for _, b := range data {
		if b == '{' || b == '[' || b == ',' {
			cost += elementCost
		}
	}
	return cost
}

// readJSON decodes JSON as Connect does.
func readJSON(data []byte, to proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, to)
}
