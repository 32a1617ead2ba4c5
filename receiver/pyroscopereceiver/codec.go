package pyroscopereceiver

import (
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// A series, label or sample of a push takes about this much memory beside its
// contents, in bytes, the growing of lists included.
const elementCost = 176

// elementsPerBody is how many times the limit of a request's size its elements may
// take in memory. Real pushes have few elements and much content.
const elementsPerBody = 4

// codecs are Connect's for protobuf and JSON, which refuse what would take much more
// memory than it is large: an empty series is 2 bytes.
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
	limit int64 // of the cost of a message, in bytes
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

// protoCost is about what reading a push takes, in bytes. Every message in it counts:
// series, and in them labels, samples and annotations.
func protoCost(data []byte) int64 {
	cost := int64(len(data))
	for len(data) > 0 {
		_, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			break // it is no message, and read until here at most
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

// jsonCost is about what reading a push takes, in bytes. Each element of a list and
// each field follows one of these; texts in base64 have none of them.
func jsonCost(data []byte) int64 {
	cost := int64(len(data))
	for _, b := range data {
		if b == '{' || b == '[' || b == ',' {
			cost += elementCost
		}
	}
	return cost
}

// readJSON reads JSON as Connect does.
func readJSON(data []byte, to proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(data, to)
}
