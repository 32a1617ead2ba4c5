package remotewrite

import (
	"encoding/binary"

	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

const (
	v1Timeseries = 1<<3 | 2
	v1Metadata   = 3<<3 | 2

	labelName  = 1<<3 | 2
	labelValue = 2<<3 | 2

	v1SeriesExemplar  = 3<<3 | 2
	v1SeriesHistogram = 4<<3 | 2

	v1MetadataType = 1 << 3
	v1MetadataName = 2<<3 | 2
	v1MetadataHelp = 4<<3 | 2
	v1MetadataUnit = 5<<3 | 2
)

func (b *Builder) timeseriesV1(view series.View, it *Item, x *Extra) {
	one := b.one[:0]
	for _, p := range view.Pairs(it.Slot) {
		name, value := view.Pair(p)
		one = appendLabel(one, seriesLabels, view.Symbol(name), view.Symbol(value))
	}
	if x != nil && x.Histogram != nil {
		one = append(one, v1SeriesHistogram)
		one = append(binary.AppendUvarint(one, uint64(len(x.Histogram))), x.Histogram...)
	} else {
		one = appendSample(one, it, 0)
	}
	if x != nil {
		for i := range x.Exemplars {
			one = b.exemplarV1(one, &x.Exemplars[i])
		}
	}
	b.one = one
	b.body = append(binary.AppendUvarint(append(b.body, v1Timeseries), uint64(len(one))), one...)
}

func appendLabel(b []byte, field byte, name, value string) []byte {
	size := 2 + uvarintLen(uint64(len(name))) + len(name) + uvarintLen(uint64(len(value))) + len(value)
	b = binary.AppendUvarint(append(b, field), uint64(size))
	return appendString(appendString(b, labelName, name), labelValue, value)
}

func appendString(b []byte, field byte, s string) []byte {
	return append(binary.AppendUvarint(append(b, field), uint64(len(s))), s...)
}

func (b *Builder) exemplarV1(one []byte, x *walrecord.Exemplar) []byte {
	m := b.refs[:0]
	for _, l := range x.Labels {
		m = appendLabel(m, exemplarLabels, l.Name, l.Value)
	}
	m = appendExemplarValue(m, x)
	b.refs = m
	return append(binary.AppendUvarint(append(one, v1SeriesExemplar), uint64(len(m))), m...)
}

// MetadataV1 returns a compressed 1.0 request with the metadata of families. In
// 2.0 the metadata is part of the series.
func (b *Builder) MetadataV1(families []series.Family) []byte {
	b.body = b.body[:0]
	for _, f := range families {
		one := b.one[:0]
		one = append(one, v1MetadataType, f.Type)
		one = appendString(one, v1MetadataName, f.Name)
		one = appendString(one, v1MetadataHelp, f.Help)
		one = appendString(one, v1MetadataUnit, f.Unit)
		b.one = one
		b.body = append(binary.AppendUvarint(append(b.body, v1Metadata), uint64(len(one))), one...)
	}
	return compress(nil, b.body)
}
