package rwsink

import (
	"bytes"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// request is a decoded request. Its byte slices point into the body, and its memory is
// reused for the next request.
type request struct {
	symbols  [][]byte // 2.0
	refs     []uint64 // of the message being decoded, 2.0
	series   []series
	families []family // 1.0
}

// family is the metadata of a family, as 1.0 sends it.
type family struct {
	name string
	meta Metadata
}

type series struct {
	labels     []label
	samples    []Sample
	histograms []Histogram
	exemplars  []Exemplar
	meta       Metadata // 2.0
}

type label struct{ name, value []byte }

func (s *series) export() Labels {
	out := make(Labels, len(s.labels))
	for i, l := range s.labels {
		out[i] = Label{string(l.name), string(l.value)}
	}
	return out
}

func (r *request) decode(v version, body []byte) error {
	r.symbols, r.series, r.families = r.symbols[:0], r.series[:0], r.families[:0]
	if v == v2 {
		return r.decodeV2(body)
	}
	return r.decodeV1(body)
}

// add appends a series, reusing the memory of an earlier one.
func (r *request) add() *series {
	if len(r.series) < cap(r.series) {
		r.series = r.series[:len(r.series)+1]
	} else {
		r.series = append(r.series, series{})
	}
	s := &r.series[len(r.series)-1]
	s.labels, s.samples, s.histograms, s.exemplars = s.labels[:0], s.samples[:0], s.histograms[:0], s.exemplars[:0]
	s.meta = Metadata{}
	return s
}

// check returns an error if a series violates a rule of both versions.
func (s *series) check() error {
	if len(s.labels) == 0 {
		return errNoLabels
	}
	for i, l := range s.labels {
		if len(l.name) == 0 || len(l.value) == 0 {
			return fmt.Errorf("series %s: label %d has an empty name or value", s.export(), i)
		}
		if i > 0 && bytes.Compare(s.labels[i-1].name, l.name) >= 0 {
			return fmt.Errorf("series %s: label %s is repeated or not sorted", s.export(), l.name)
		}
	}
	return nil
}

// tally counts the content of a decoded request.
func (r *request) tally() Tally {
	t := Tally{Series: int64(len(r.series)), Metadata: int64(len(r.families))}
	for i := range r.series {
		s := &r.series[i]
		t.Samples += int64(len(s.samples))
		t.Histograms += int64(len(s.histograms))
		t.Exemplars += int64(len(s.exemplars))
		if s.meta != (Metadata{}) {
			t.Metadata++
		}
	}
	return t
}

// decodeSample decodes the Sample of both versions; 1.0 has no field 3.
func decodeSample(msg []byte) (Sample, error) {
	var s Sample
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			s.V = c.double()
		case 2:
			s.T = int64(c.varint())
		case 3:
			s.Start = int64(c.varint())
		}
	}
	return s, c.err
}

// decodeHistogram decodes the Histogram of both versions; 1.0 has no field 17.
func decodeHistogram(msg []byte) (Histogram, error) {
	var h Histogram
	c := cursor{rest: msg}
	for c.next() {
		switch c.num {
		case 1:
			h.Count = c.varint()
		case 2:
			h.FloatCount, h.Float = c.double(), true
		case 3:
			h.Sum = c.double()
		case 4:
			h.Schema = int32(c.zigzag())
		case 5:
			h.ZeroThreshold = c.double()
		case 6:
			h.ZeroCount = c.varint()
		case 7:
			h.FloatZeroCount = c.double()
		case 8, 9, 10:
			h.Negative.decode(&c, c.num-8)
		case 11, 12, 13:
			h.Positive.decode(&c, c.num-11)
		case 14:
			h.ResetHint = int(c.varint())
		case 15:
			h.T = int64(c.varint())
		case 16:
			h.CustomValues = c.appendDoubles(h.CustomValues)
		case 17:
			h.Start = int64(c.varint())
		}
	}
	return h, c.err
}

// The fields of one side of a histogram, relative to its first field number.
const (
	bucketSpans = iota
	bucketDeltas
	bucketCounts
)

func (b *Buckets) decode(c *cursor, field protowire.Number) {
	switch field {
	case bucketSpans:
		var span Span
		inner := cursor{rest: c.bytes()}
		for inner.next() {
			switch inner.num {
			case 1:
				span.Offset = int32(inner.zigzag())
			case 2:
				span.Length = uint32(inner.varint())
			}
		}
		c.adopt(inner.err)
		b.Spans = append(b.Spans, span)
	case bucketDeltas:
		for _, v := range c.appendVarints(nil) {
			b.Deltas = append(b.Deltas, protowire.DecodeZigZag(v))
		}
	case bucketCounts:
		b.Counts = c.appendDoubles(b.Counts)
	}
}
