// Package remotewrite builds Prometheus remote-write requests from the samples of
// series, sends them, and judges the answers.
//
//	[]Item + series.View ─▶ Builder ─▶ body ─▶ Client ─▶ Outcome
//
// The messages are encoded by hand, field by field, straight from the series
// table, without a request structure in between. Sources: the remote-write
// 1.0 and 2.0 specifications (prometheus.io/docs/specs/prw) and their protos in
// Prometheus' repository, prompb/types.proto, prompb/remote.proto and
// prompb/io/prometheus/write/v2/types.proto.
package remotewrite

import (
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
	"github.com/invar-otel/invar/internal/wal/walrecord"
)

// Message is the protobuf message of a request, by its full name.
type Message string

// The messages of remote write 1.0 and 2.0.
const (
	V1 Message = "prometheus.WriteRequest"
	V2 Message = "io.prometheus.write.v2.Request"
)

// Item is a sample on its way to the endpoint, in 24 bytes. T is in ms since the
// epoch. Extra, if not 0, refers to an Extra.
type Item struct {
	Slot  series.Slot
	Extra uint32
	T     int64
	V     float64
}

// Extra is what only few samples have. Histogram, if not nil, is the value: an
// io.prometheus.write.v2.Histogram, whose fields 1 to 16 are those of
// prometheus.Histogram. Start is in ms, 0 if unknown.
type Extra struct {
	Start     int64
	Histogram []byte
	Exemplars []walrecord.Exemplar
}

// IsEmpty reports whether no field is set.
func (x *Extra) IsEmpty() bool {
	return x.Start == 0 && x.Histogram == nil && len(x.Exemplars) == 0
}

// Counts are the numbers of what a request holds.
type Counts struct{ Samples, Histograms, Exemplars int }

// Points returns the number of samples and histograms.
func (c Counts) Points() int { return c.Samples + c.Histograms }

// Minus returns the difference.
func (c Counts) Minus(d Counts) Counts {
	return Counts{c.Samples - d.Samples, c.Histograms - d.Histograms, c.Exemplars - d.Exemplars}
}

// Add adds d to c.
func (c *Counts) Add(d Counts) {
	c.Samples += d.Samples
	c.Histograms += d.Histograms
	c.Exemplars += d.Exemplars
}
