package lokiapi

import (
	"encoding/binary"
	"time"

	"github.com/grafana/loki/pkg/push"
	"google.golang.org/protobuf/encoding/protowire"
)

// The wire format is written here because push.PushRequest.Marshal measures every
// entry three times, which took a third of the exporter's CPU.
// Field numbers are those of push.proto: PushRequest{streams=1},
// StreamAdapter{labels=1, entries=2}, EntryAdapter{timestamp=1, line=2,
// structuredMetadata=3}, LabelPairAdapter{name=1, value=2}. All have numbers
// below 16, so that a tag is one byte. All but those of the timestamp have a length.
const (
	tagStreams   = 1<<3 | 2
	tagLabels    = 1<<3 | 2
	tagEntries   = 2<<3 | 2
	tagTimestamp = 1<<3 | 2
	tagLine      = 2<<3 | 2
	tagMetadata  = 3<<3 | 2
	tagName      = 1<<3 | 2
	tagValue     = 2<<3 | 2
	tagSeconds   = 1 << 3
	tagNanos     = 2 << 3
)

// appendRequest appends the streams as a PushRequest. sizes is scratch space.
func appendRequest(dst []byte, streams []push.Stream, sizes *[]int) []byte {
	for i := range streams {
		s := &streams[i]
		all := (*sizes)[:0]
		total := fieldSize(len(s.Labels))
		for j := range s.Entries {
			n := entrySize(&s.Entries[j])
			all = append(all, n)
			total += 1 + protowire.SizeVarint(uint64(n)) + n
		}
		*sizes = all
		dst = binary.AppendUvarint(append(dst, tagStreams), uint64(total))
		dst = appendString(dst, tagLabels, s.Labels)
		for j := range s.Entries {
			dst = binary.AppendUvarint(append(dst, tagEntries), uint64(all[j]))
			dst = appendEntry(dst, &s.Entries[j])
		}
	}
	return dst
}

func appendEntry(dst []byte, e *push.Entry) []byte {
	seconds, nanos := split(e.Timestamp)
	dst = append(dst, tagTimestamp, byte(timestampSize(seconds, nanos))) // 17 at most
	if seconds != 0 {
		dst = binary.AppendUvarint(append(dst, tagSeconds), uint64(seconds))
	}
	if nanos != 0 {
		dst = binary.AppendUvarint(append(dst, tagNanos), nanos)
	}
	dst = appendString(dst, tagLine, e.Line)
	for i := range e.StructuredMetadata {
		m := &e.StructuredMetadata[i]
		n := fieldSize(len(m.Name)) + fieldSize(len(m.Value))
		dst = binary.AppendUvarint(append(dst, tagMetadata), uint64(n))
		dst = appendString(dst, tagName, m.Name)
		dst = appendString(dst, tagValue, m.Value)
	}
	return dst
}

func entrySize(e *push.Entry) int {
	n := 2 + timestampSize(split(e.Timestamp)) + fieldSize(len(e.Line))
	for i := range e.StructuredMetadata {
		m := &e.StructuredMetadata[i]
		pair := fieldSize(len(m.Name)) + fieldSize(len(m.Value))
		n += 1 + protowire.SizeVarint(uint64(pair)) + pair
	}
	return n
}

// split returns the fields of a google.protobuf.Timestamp.
func split(t time.Time) (seconds int64, nanos uint64) {
	return t.Unix(), uint64(t.Nanosecond())
}

func timestampSize(seconds int64, nanos uint64) int {
	n := 0
	if seconds != 0 {
		n += 1 + protowire.SizeVarint(uint64(seconds))
	}
	if nanos != 0 {
		n += 1 + protowire.SizeVarint(nanos)
	}
	return n
}

// fieldSize returns the size of a string with its tag. An empty one is omitted.
func fieldSize(length int) int {
	if length == 0 {
		return 0
	}
	return 1 + protowire.SizeVarint(uint64(length)) + length
}

func appendString(dst []byte, tag byte, s string) []byte {
	if s == "" {
		return dst
	}
	return append(binary.AppendUvarint(append(dst, tag), uint64(len(s))), s...)
}
