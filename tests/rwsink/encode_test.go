package rwsink

import (
	"encoding/binary"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// sent is a series to encode.
type sent struct {
	labels     []string // alternately names and values
	samples    []Sample
	histograms []Histogram
	exemplars  []Exemplar
	meta       Metadata
}

func gauge(name string, samples ...Sample) sent {
	return sent{labels: []string{nameLabel, name}, samples: samples}
}

// message appends fields to a protobuf message, leaving out zeros as
// generated code does.
type message []byte

func (m *message) bytes(num protowire.Number, v []byte) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, num, protowire.BytesType), v)
}

func (m *message) varint(num protowire.Number, v uint64) {
	if v != 0 {
		*m = protowire.AppendVarint(protowire.AppendTag(*m, num, protowire.VarintType), v)
	}
}

func (m *message) double(num protowire.Number, v float64) {
	if v != 0 {
		*m = protowire.AppendFixed64(protowire.AppendTag(*m, num, protowire.Fixed64Type), math.Float64bits(v))
	}
}

func (m *message) varints(num protowire.Number, vs []uint64) {
	var packed []byte
	for _, v := range vs {
		packed = protowire.AppendVarint(packed, v)
	}
	if len(packed) > 0 {
		m.bytes(num, packed)
	}
}

func (m *message) doubles(num protowire.Number, vs []float64) {
	var packed []byte
	for _, v := range vs {
		packed = protowire.AppendFixed64(packed, math.Float64bits(v))
	}
	if len(packed) > 0 {
		m.bytes(num, packed)
	}
}

func encodeSample(s Sample) (m message) {
	m.double(1, s.V)
	m.varint(2, uint64(s.T))
	m.varint(3, uint64(s.Start))
	return m
}

func encodeHistogram(h Histogram) (m message) {
	m.varint(1, h.Count)
	if h.Float {
		m.double(2, h.FloatCount)
	}
	m.double(3, h.Sum)
	m.varint(4, protowire.EncodeZigZag(int64(h.Schema)))
	m.double(5, h.ZeroThreshold)
	m.varint(6, h.ZeroCount)
	m.double(7, h.FloatZeroCount)
	m.buckets(8, h.Negative)
	m.buckets(11, h.Positive)
	m.varint(14, uint64(h.ResetHint))
	m.varint(15, uint64(h.T))
	m.doubles(16, h.CustomValues)
	m.varint(17, uint64(h.Start))
	return m
}

func (m *message) buckets(first protowire.Number, b Buckets) {
	for _, s := range b.Spans {
		var span message
		span.varint(1, protowire.EncodeZigZag(int64(s.Offset)))
		span.varint(2, uint64(s.Length))
		m.bytes(first, span)
	}
	var deltas []uint64
	for _, d := range b.Deltas {
		deltas = append(deltas, protowire.EncodeZigZag(d))
	}
	m.varints(first+1, deltas)
	m.doubles(first+2, b.Counts)
}

func encodeLabel(name, value string) (m message) {
	m.bytes(1, []byte(name))
	m.bytes(2, []byte(value))
	return m
}

// encodeV1 encodes a prometheus.WriteRequest. The metadata of a series becomes that of
// the family of the same name.
func encodeV1(all ...sent) (body message) {
	for _, s := range all {
		var ts message
		for pair := range slices.Chunk(s.labels, 2) {
			ts.bytes(1, encodeLabel(pair[0], pair[1]))
		}
		for _, p := range s.samples {
			ts.bytes(2, encodeSample(p))
		}
		for _, e := range s.exemplars {
			var m message
			for _, l := range e.Labels {
				m.bytes(1, encodeLabel(l.Name, l.Value))
			}
			m.double(2, e.V)
			m.varint(3, uint64(e.T))
			ts.bytes(3, m)
		}
		for _, h := range s.histograms {
			ts.bytes(4, encodeHistogram(h))
		}
		body.bytes(1, ts)
		if s.meta != (Metadata{}) {
			var m message
			m.varint(1, uint64(s.meta.Type))
			m.bytes(2, []byte(s.labels[1]))
			m.bytes(4, []byte(s.meta.Help))
			m.bytes(5, []byte(s.meta.Unit))
			body.bytes(3, m)
		}
	}
	return body
}

// encodeV2 encodes an io.prometheus.write.v2.Request with the symbols last. Protobuf
// allows this, though no known sender does it.
func encodeV2(all ...sent) (body message) {
	symbols := []string{""}
	ref := func(s string) uint64 {
		i := slices.Index(symbols, s)
		if i < 0 {
			i, symbols = len(symbols), append(symbols, s)
		}
		return uint64(i)
	}
	for _, s := range all {
		var ts message
		var refs []uint64
		for _, text := range s.labels {
			refs = append(refs, ref(text))
		}
		ts.varints(1, refs)
		for _, p := range s.samples {
			ts.bytes(2, encodeSample(p))
		}
		for _, h := range s.histograms {
			ts.bytes(3, encodeHistogram(h))
		}
		for _, e := range s.exemplars {
			var m message
			var refs []uint64
			for _, l := range e.Labels {
				refs = append(refs, ref(l.Name), ref(l.Value))
			}
			m.varints(1, refs)
			m.double(2, e.V)
			m.varint(3, uint64(e.T))
			ts.bytes(4, m)
		}
		var m message
		m.varint(1, uint64(s.meta.Type))
		m.varint(3, ref(s.meta.Help))
		m.varint(4, ref(s.meta.Unit))
		ts.bytes(5, m)
		body.bytes(5, ts)
	}
	for _, s := range symbols {
		body.bytes(4, []byte(s))
	}
	return body
}

// compress returns a snappy block that consists of literals only.
func compress(plain []byte) []byte {
	out := binary.AppendUvarint(nil, uint64(len(plain)))
	for chunk := range slices.Chunk(plain, 1<<16) {
		out = append(out, 61<<2, byte(len(chunk)-1), byte((len(chunk)-1)>>8))
		out = append(out, chunk...)
	}
	return out
}
