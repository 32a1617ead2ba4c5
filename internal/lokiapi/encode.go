package lokiapi

import (
	"encoding/json"
	"strconv"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
)

// Encoder encodes requests and reuses its buffers. It is not safe for concurrent
// use.
type Encoder struct {
	plain, body []byte
	sizes       []int
}

// Protobuf encodes the streams as a request and compresses it. The result is valid
// until the next call.
func (e *Encoder) Protobuf(streams []push.Stream) []byte {
	e.plain = appendRequest(e.plain[:0], streams, &e.sizes)
	if most := s2.MaxEncodedLen(len(e.plain)); cap(e.body) < most {
		e.body = make([]byte, most)
	}
	return s2.EncodeSnappy(e.body[:cap(e.body)], e.plain)
}

// jsonStream is a stream as JSON.
type jsonStream struct {
	Stream map[string]string `json:"stream"`
	Values []jsonEntry       `json:"values"`
}

type jsonRequest struct {
	Streams []jsonStream `json:"streams"`
}

// jsonEntry is [time, line] or [time, line, metadata].
type jsonEntry push.Entry

// MarshalJSON implements json.Marshaler.
func (e jsonEntry) MarshalJSON() ([]byte, error) {
	entry := []any{strconv.FormatInt(e.Timestamp.UnixNano(), 10), e.Line}
	if len(e.StructuredMetadata) > 0 {
		entry = append(entry, e.StructuredMetadata)
	}
	return json.Marshal(entry)
}

// JSON encodes the streams as a request in JSON, which people can read on its way.
func JSON(streams []push.Stream) ([]byte, error) {
	out := jsonRequest{Streams: make([]jsonStream, len(streams))}
	for i, s := range streams {
		ls, err := ParseLabels(s.Labels)
		if err != nil {
			return nil, err
		}
		to := &out.Streams[i]
		to.Stream = make(map[string]string, ls.Len())
		ls.Range(func(l labels.Label) { to.Stream[l.Name] = l.Value })
		for _, e := range s.Entries {
			to.Values = append(to.Values, jsonEntry(e))
		}
	}
	return json.Marshal(out)
}
