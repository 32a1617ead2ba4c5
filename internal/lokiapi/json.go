package lokiapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/buger/jsonparser"
	"github.com/grafana/loki/pkg/push"
)

// DecodeJSON decodes a request in either form. It accepts what Loki's own decoder
// accepts: the value of a label may have any type and becomes its text, entries
// that are null are skipped, missing parts of an entry are empty, and parts after
// the third are ignored. Unlike Loki it also accepts numbers and booleans in
// structured metadata, null for structured metadata, and streams that are null.
//
// Streams with invalid labels are returned like others: [ParseLabels] refuses them,
// and the other streams stay.
func DecodeJSON(body []byte, b *Budget) (*push.PushRequest, error) {
	r, err := decodeJSON(body, b)
	if err != nil && !errors.Is(err, ErrTooLarge) {
		return nil, fmt.Errorf("the body is not a push request in JSON: %w", err)
	}
	return r, err
}

func decodeJSON(body []byte, b *Budget) (*push.PushRequest, error) {
	// jsonparser is fast because it does not check what it skips.
	if !json.Valid(body) {
		first := json.NewDecoder(bytes.NewReader(body))
		var value json.RawMessage
		if err := first.Decode(&value); errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		} else if err != nil {
			return nil, err
		}
		body = value // Loki ignores what follows it
	}
	r := &push.PushRequest{}
	if string(bytes.TrimSpace(body)) == "null" {
		return r, nil
	}
	err := jsonparser.ObjectEach(body, func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		if !strings.EqualFold(string(key), "streams") || kind == jsonparser.Null {
			return nil
		}
		return each(value, kind, "streams", func(value []byte, kind jsonparser.ValueType) error {
			if kind == jsonparser.Null {
				return nil
			}
			if err := b.Take(streamCost); err != nil {
				return err
			}
			s, err := jsonStreamOf(value, kind, b)
			r.Streams = append(r.Streams, s)
			return err
		})
	})
	if errors.Is(err, jsonparser.MalformedObjectError) {
		err = errors.New("it is not an object")
	}
	return r, err
}

// each calls f with the items of a list until f returns an error.
func each(list []byte, kind jsonparser.ValueType, name string, f func(value []byte, kind jsonparser.ValueType) error) error {
	if kind != jsonparser.Array {
		return fmt.Errorf("%s is not a list, but %.32q", name, list)
	}
	var failed error
	_, err := jsonparser.ArrayEach(list, func(value []byte, kind jsonparser.ValueType, _ int, _ error) {
		if failed == nil {
			failed = f(value, kind)
		}
	})
	return errors.Join(failed, err)
}

func jsonStreamOf(object []byte, kind jsonparser.ValueType, b *Budget) (push.Stream, error) {
	var s push.Stream
	if kind != jsonparser.Object {
		return s, fmt.Errorf("a stream is not an object, but %.32q", object)
	}
	err := jsonparser.ObjectEach(object, func(key, value []byte, kind jsonparser.ValueType, _ int) (err error) {
		switch string(key) {
		case "stream":
			s.Labels, err = jsonLabels(value, kind, b)
		case "labels": // the older form has labels and entries
			s.Labels, err = textOf(value, kind, b)
		case "values", "entries":
			if kind == jsonparser.Null {
				return nil
			}
			older := string(key) == "entries"
			return each(value, kind, string(key), func(value []byte, kind jsonparser.ValueType) error {
				if kind == jsonparser.Null {
					return nil
				}
				if err := b.Take(entryCost); err != nil {
					return err
				}
				var e push.Entry
				var err error
				if older {
					err = olderJSONEntry(&e, value, kind, b)
				} else {
					err = jsonEntryOf(&e, value, kind, b)
				}
				s.Entries = append(s.Entries, e)
				return err
			})
		}
		return err
	})
	return s, err
}

// jsonLabels returns the labels of a stream as text.
func jsonLabels(object []byte, kind jsonparser.ValueType, b *Budget) (string, error) {
	if kind != jsonparser.Object {
		return "", fmt.Errorf("the labels of a stream are not an object, but %.32q", object)
	}
	values := map[string]string{}
	err := jsonparser.ObjectEach(object, func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		if err := b.Take(labelCost + int64(len(key))); err != nil {
			return err
		}
		text, err := textOf(value, kind, b)
		values[string(key)] = text
		return err
	})
	if err != nil {
		return "", err
	}
	pairs := make([]Label, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, Label{Name: name, Value: values[name]})
	}
	return string(AppendLabels(nil, pairs)), nil
}

// labelCost is what sorting the labels of a stream allocates for each, in bytes,
// without its text.
const labelCost = 160

// textOf returns a string, or any other value as text.
func textOf(value []byte, kind jsonparser.ValueType, b *Budget) (string, error) {
	if err := b.Take(stringCost + int64(len(value))); err != nil {
		return "", err
	}
	if kind != jsonparser.String {
		return string(value), nil
	}
	text, err := jsonparser.ParseString(value)
	if err != nil { // half of a surrogate pair: the other characters are kept
		err = json.Unmarshal(slices.Concat([]byte{'"'}, value, []byte{'"'}), &text)
	}
	return strings.ToValidUTF8(text, replacement), err
}

// jsonEntryOf reads [time, line, metadata].
func jsonEntryOf(e *push.Entry, list []byte, kind jsonparser.ValueType, b *Budget) error {
	i := 0
	return each(list, kind, "an entry", func(value []byte, kind jsonparser.ValueType) (err error) {
		switch i {
		case 0:
			if kind != jsonparser.String {
				return fmt.Errorf("the time of an entry is not a string of nanoseconds, but %.32q", value)
			}
			nanos, err := jsonparser.ParseInt(value)
			if err != nil {
				return fmt.Errorf("the time of an entry is not in nanoseconds, but %.32q", value)
			}
			e.Timestamp = time.Unix(0, nanos)
		case 1:
			if kind != jsonparser.String {
				return fmt.Errorf("the line of an entry is not a string, but %.32q", value)
			}
			e.Line, err = textOf(value, kind, b)
		case 2:
			e.StructuredMetadata, err = jsonMetadata(value, kind, b)
		}
		i++
		return err
	})
}

func jsonMetadata(object []byte, kind jsonparser.ValueType, b *Budget) (push.LabelsAdapter, error) {
	if kind == jsonparser.Null {
		return nil, nil
	}
	if kind != jsonparser.Object {
		return nil, fmt.Errorf("the structured metadata of an entry is not an object, but %.32q", object)
	}
	var pairs push.LabelsAdapter
	err := jsonparser.ObjectEach(object, func(key, value []byte, kind jsonparser.ValueType, _ int) error {
		if kind == jsonparser.Object || kind == jsonparser.Array || kind == jsonparser.Null {
			return fmt.Errorf("structured metadata %.32q is not a string, but %.32q", key, value)
		}
		if err := b.Take(metadataCost + stringCost + int64(len(key))); err != nil {
			return err
		}
		text, err := textOf(value, kind, b)
		pairs = append(pairs, push.LabelAdapter{Name: string(key), Value: text})
		return err
	})
	return pairs, err
}

// olderJSONEntry reads {"ts": time, "line": line}.
func olderJSONEntry(e *push.Entry, object []byte, kind jsonparser.ValueType, b *Budget) error {
	if kind != jsonparser.Object {
		return fmt.Errorf("an entry is not an object, but %.32q", object)
	}
	return jsonparser.ObjectEach(object, func(key, value []byte, kind jsonparser.ValueType, _ int) (err error) {
		switch string(key) {
		case "ts":
			if kind == jsonparser.Null {
				return nil
			}
			text, err := textOf(value, kind, b)
			if err != nil {
				return err
			}
			e.Timestamp, err = time.Parse(time.RFC3339, text)
			if err != nil {
				return fmt.Errorf("the time of an entry is not like 2006-01-02T15:04:05Z, but %.32q", text)
			}
		case "line":
			if kind == jsonparser.Null {
				return nil
			}
			if kind != jsonparser.String {
				return fmt.Errorf("the line of an entry is not a string, but %.32q", value)
			}
			e.Line, err = textOf(value, kind, b)
		}
		return err
	})
}
