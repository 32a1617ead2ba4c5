package lokiapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/klauspost/compress/s2"
)

// ErrTooLarge is wrapped by the error for a request that is larger than allowed,
// which Loki answers by 413.
var ErrTooLarge = errors.New("request body too large")

// DecodeProtobuf decodes a request from a snappy block. What it returns does not
// refer to body.
func DecodeProtobuf(body []byte, limit int) (*push.PushRequest, error) {
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
	var r push.PushRequest
	if err := r.Unmarshal(plain); err != nil {
		return nil, fmt.Errorf("the body is not a push request: %w", err)
	}
	return &r, nil
}

// DecodeJSON decodes a request in either form.
func DecodeJSON(body []byte) (*push.PushRequest, error) {
	var in jsonRequest
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&in); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("the body is not a push request in JSON: %w", err)
	}
	r := &push.PushRequest{Streams: make([]push.Stream, 0, len(in.Streams))}
	for _, s := range in.Streams {
		to := push.Stream{Labels: s.Labels, Entries: make([]push.Entry, 0, len(s.Values)+len(s.Entries))}
		if s.Labels == "" {
			var pairs []Label
			for _, name := range slices.Sorted(maps.Keys(s.Stream)) {
				if !ValidLabelName(name) {
					return nil, fmt.Errorf("stream has the label name %q; use letters, digits and underscores", name)
				}
				pairs = append(pairs, Label{Name: name, Value: s.Stream[name]})
			}
			to.Labels = string(AppendLabels(nil, pairs))
		}
		for _, e := range s.Values {
			to.Entries = append(to.Entries, push.Entry(e))
		}
		for _, e := range s.Entries {
			to.Entries = append(to.Entries, push.Entry{Timestamp: e.TS, Line: e.Line})
		}
		r.Streams = append(r.Streams, to)
	}
	return r, nil
}

type olderJSONEntry struct {
	TS   time.Time `json:"ts"`
	Line string    `json:"line"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *jsonEntry) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return fmt.Errorf("an entry is no list: %w", err)
	}
	if len(parts) < 2 {
		return fmt.Errorf("an entry has %d parts instead of time and line", len(parts))
	}
	var nanos string
	if err := json.Unmarshal(parts[0], &nanos); err != nil {
		return fmt.Errorf("an entry's time is not a string of nanoseconds: %w", err)
	}
	n, err := strconv.ParseInt(nanos, 10, 64)
	if err != nil {
		return fmt.Errorf("an entry's time is not in nanoseconds: %w", err)
	}
	e.Timestamp = time.Unix(0, n)
	if err := json.Unmarshal(parts[1], &e.Line); err != nil {
		return fmt.Errorf("an entry's line is not a string: %w", err)
	}
	if len(parts) == 2 {
		return nil
	}
	var metadata map[string]json.RawMessage
	if err := json.Unmarshal(parts[2], &metadata); err != nil {
		return fmt.Errorf("an entry's structured metadata is not an object: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		value := string(metadata[name]) // a number or a boolean, as Loki reads it
		switch value[0] {
		case '"':
			if err := json.Unmarshal(metadata[name], &value); err != nil {
				return err
			}
		case '{', '[':
			return fmt.Errorf("an entry's structured metadata %q is not a string", name)
		}
		e.StructuredMetadata = append(e.StructuredMetadata, push.LabelAdapter{Name: name, Value: value})
	}
	return nil
}
