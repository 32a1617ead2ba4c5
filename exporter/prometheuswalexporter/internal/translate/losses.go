package translate

import "strings"

// Reason is why something has no translation: a value of the attribute reason
// of the exporter's own metrics.
type Reason string

// Why a data point is dropped.
const (
	DeltaTemporality       Reason = "delta_temporality"
	UnspecifiedTemporality Reason = "unspecified_temporality"
	InvalidName            Reason = "invalid_name"
	InvalidAttribute       Reason = "invalid_attribute"
	NoValue                Reason = "no_value"
	NoTimestamp            Reason = "no_timestamp"
	InFuture               Reason = "in_future"         // later than MaxAhead
	InvalidHistogram       Reason = "invalid_histogram" // counts, bounds or buckets that contradict each other
	UnsupportedScale       Reason = "unsupported_scale" // coarser than any native histogram
	TooLarge               Reason = "too_large"         // see maxWork
	// Refused is a sample that the Appender refused, and counts itself.
	Refused Reason = "refused"
)

// What is dropped beside data points that are kept.
const (
	ExemplarWithoutValue     Reason = "exemplar_without_value"
	ExemplarTooLong          Reason = "exemplar_too_long" // only its trace and span are kept
	InvalidExemplarAttribute Reason = "invalid_exemplar_attribute"
	InvalidResourceAttribute Reason = "invalid_resource_attribute"
	InvalidScopeAttribute    Reason = "invalid_scope_attribute"
)

// Loss is what was dropped for one reason.
type Loss struct {
	Reason Reason
	Items  int    // data points, exemplars or attributes
	Metric string // name of the first, shortened; empty for a resource or a scope
	Detail string // of the first, or empty
}

// Losses are what was dropped, one for each reason, in order of occurrence.
type Losses []Loss

// Points returns the number of data points that were dropped.
func (l Losses) Points() int {
	n := 0
	for i := range l {
		switch l[i].Reason {
		case ExemplarWithoutValue, ExemplarTooLong, InvalidExemplarAttribute, InvalidResourceAttribute, InvalidScopeAttribute, Refused:
		default:
			n += l[i].Items
		}
	}
	return n
}

// Has reports whether something was dropped for this reason.
func (l Losses) Has(r Reason) bool {
	for i := range l {
		if l[i].Reason == r {
			return true
		}
	}
	return false
}

// maxText is how much of a name or an error from outside is kept, in bytes.
const maxText = 200

// lose counts n items of the current metric as dropped. The detail of the first
// call for a reason is kept.
func (w *worker) lose(r Reason, n int, detail string) {
	if n == 0 {
		return
	}
	for i := range w.losses {
		if w.losses[i].Reason == r {
			w.losses[i].Items += n
			return
		}
	}
	w.losses = append(w.losses, Loss{Reason: r, Items: n, Metric: shorten(w.metric.name), Detail: shorten(detail)})
}

// shorten returns valid UTF-8 of at most maxText bytes, and an ellipsis if it was
// longer.
func shorten(s string) string {
	if len(s) <= maxText {
		return valid(s)
	}
	return strings.Clone(valid(s[:maxText])) + "…"
}
