package rwsink

import (
	"bytes"
	"math"
	"slices"
	"strconv"
)

// Label is one label of a series.
type Label struct{ Name, Value string }

// Labels are a series' labels in the order in which they were sent.
type Labels []Label

// Get returns the value of a label, or "".
func (ls Labels) Get(name string) string {
	for _, l := range ls {
		if l.Name == name {
			return l.Value
		}
	}
	return ""
}

// String returns the canonical form of a series, which is the key in the maps of Series
// and similar methods: the metric's name, then the labels sorted by name, with the values
// quoted as in Go:
//
//	http_requests_total{code="200",method="GET"}
func (ls Labels) String() string {
	sorted := make([]label, len(ls))
	for i, l := range ls {
		sorted[i] = label{[]byte(l.Name), []byte(l.Value)}
	}
	slices.SortFunc(sorted, func(a, b label) int { return bytes.Compare(a.name, b.name) })
	return string(appendKey(nil, sorted))
}

// appendKey appends the canonical form of sorted labels.
func appendKey(to []byte, sorted []label) []byte {
	for _, l := range sorted {
		if string(l.name) == nameLabel {
			to = append(to, l.value...)
		}
	}
	sep := byte('{')
	for _, l := range sorted {
		if string(l.name) == nameLabel {
			continue
		}
		to = append(to, sep)
		to = append(to, l.name...)
		to = append(to, '=')
		to = strconv.AppendQuote(to, string(l.value))
		sep = ','
	}
	if sep == ',' {
		to = append(to, '}')
	}
	return to
}

const nameLabel = "__name__"

// Sample is one value of a series. Times are milliseconds since 1970.
type Sample struct {
	T     int64
	V     float64
	Start int64 // start timestamp, 2.0 only
}

// staleBits is the NaN that marks the end of a series.
const staleBits = 0x7ff0000000000002

// Stale reports whether the sample is a staleness marker.
func (s Sample) Stale() bool { return math.Float64bits(s.V) == staleBits }

// Exemplar is one exemplar of a series.
type Exemplar struct {
	Labels Labels
	T      int64
	V      float64
}

// Metadata belongs to a family of metrics in 1.0 and to a series in 2.0. The zero value
// means that there is none.
type Metadata struct {
	Type       MetricType
	Help, Unit string
}

// MetricType is the type of a metric; both versions number them alike.
type MetricType int

// The types of metrics.
const (
	Unknown MetricType = iota
	Counter
	Gauge
	HistogramType
	GaugeHistogram
	Summary
	Info
	StateSet
)

// Histogram is a native histogram as it was sent, integers as deltas.
type Histogram struct {
	T, Start int64
	// Float reports that the counts are floats. The fields that begin with Float and
	// Buckets.Counts hold them.
	Float                      bool
	Count, ZeroCount           uint64
	FloatCount, FloatZeroCount float64
	Sum                        float64
	Schema                     int32
	ZeroThreshold              float64
	ResetHint                  int
	Positive, Negative         Buckets
	CustomValues               []float64
}

// Buckets are one side of a native histogram.
type Buckets struct {
	Spans  []Span
	Deltas []int64
	Counts []float64
}

// Span is a run of buckets.
type Span struct {
	Offset int32
	Length uint32
}
