package queue

import (
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/remotewrite"
	"github.com/invar-otel/invar/exporter/prometheuswalexporter/internal/series"
)

// Batch is what one Commit writes. Commit may change it; afterwards it belongs
// to the caller again.
type Batch struct {
	Samples []Sample
	Extras  []Extra
}

// Sample is a sample that has been appended but not committed. T is in ms since
// the epoch.
type Sample struct {
	Slot   series.Slot
	Family uint32 // see series.Table.InternFamily; 0 is none
	Extra  uint32 // index in Batch.Extras plus 1; 0 is none
	Order  Order
	Stale  bool // a histogram that is a staleness marker
	T      int64
	V      float64
}

// Order says which samples older than the newest of their series are accepted.
type Order uint8

const (
	// AnyOrder accepts all of them: the endpoint decides.
	AnyOrder Order = iota
	// WithinWindow accepts those within Settings.OutOfOrderWindow.
	WithinWindow
	// InOrder accepts none.
	InOrder
)

// Extra is what few samples have, with the identities of the exemplars in the
// same order.
type Extra struct {
	remotewrite.Extra
	ExemplarIDs []ExemplarID
}

// isFloat reports whether the sample is not a histogram. x may be nil.
func (x *Extra) isFloat() bool { return x == nil || x.Histogram == nil }
