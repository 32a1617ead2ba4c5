// Package refusal reads why Loki did not accept logs. Loki answers a push with
// text only. The reasons are the names under which it counts the same refusals in
// loki_discarded_samples_total, and the texts are those of Loki 3
// (pkg/validation/validate.go and pkg/chunkenc/interface.go there).
package refusal

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	lokipush "github.com/grafana/loki/pkg/push"

	"github.com/invar-otel/invar/internal/push"
)

// Reasons of Loki that the exporter handles.
const (
	StreamRateLimit push.Reason = "per_stream_rate_limit"
	StreamLimit     push.Reason = "stream_limit"
	LineTooLong     push.Reason = "line_too_long"
	TooFarBehind    push.Reason = "too_far_behind"
	OutOfOrder      push.Reason = "out_of_order"
	TooOld          push.Reason = "greater_than_max_sample_age"
	TooNew          push.Reason = "too_far_in_future"
	InvalidLabels   push.Reason = "invalid_labels"
)

// known are texts that reveal a reason, in lower case.
var known = []struct {
	words  string
	reason push.Reason
	stream bool // the labels are at fault: no entry of the stream is accepted
}{
	{"ingestion rate limit exceeded", push.RateLimited, false},
	{"per stream rate limit exceeded", StreamRateLimit, false},
	{"maximum active stream limit exceeded", StreamLimit, true},
	{"max entry size", LineTooLong, false},
	{"entry too far behind", TooFarBehind, false},
	{"entry out of order", OutOfOrder, false},
	{"has timestamp too old", TooOld, false},
	{"has timestamp too new", TooNew, false},
	{"label names; limit", "max_label_names_per_series", true},
	{"has label name too long", "label_name_too_long", true},
	{"has label value too long", "label_value_too_long", true},
	{"has duplicate label name", "duplicate_label_names", true},
	{"at least one label pair is required", "missing_labels", true},
	{"missing required labels", "missing_enforced_labels", true},
	{"error parsing labels", InvalidLabels, true},
	{"couldn't parse labels", InvalidLabels, true},
	{"stream labels size", InvalidLabels, true},
	{"includes structured metadata, but this feature is disallowed", "disallowed_structured_metadata", false},
	{"has structured metadata too large", "structured_metadata_too_large", false},
	{"has too many structured metadata labels", "structured_metadata_too_many", false},
	{"ingestion blocked", "blocked_ingestion", false},
	{"request body too large", push.BodyTooLarge, false},
	{"message size", push.BodyTooLarge, false},
}

// Of reads the text of an answer.
func Of(text string) push.Refusal {
	lower := strings.ToLower(text)
	for i := range known {
		if strings.Contains(lower, known[i].words) {
			return push.Refusal{Reason: known[i].reason, Words: text}
		}
	}
	return push.Refusal{Reason: push.UnknownReason, Words: text}
}

// OfStream reports whether the reason is about the labels, so that Loki accepts no
// entry of the stream.
func OfStream(reason push.Reason) bool {
	for i := range known {
		if known[i].reason == reason {
			return known[i].stream
		}
	}
	return false
}

var (
	lineLimit = regexp.MustCompile(`(?i)max entry size '?(\d+)'? bytes exceeded`)
	oldest    = regexp.MustCompile(`has timestamp too old: \S+, oldest acceptable timestamp is: ([0-9TZ:.+-]+)`)
	behind    = regexp.MustCompile(`entry too far behind, entry timestamp is: \S+, oldest acceptable timestamp is: ([0-9TZ:.+-]+)`)
	tooNew    = regexp.MustCompile(`has timestamp too new: ([0-9TZ:.+-]+)`)
)

// Fault returns a function that returns why Loki would refuse an entry too, as
// far as its answer reveals that: the answer names one entry, but also the limit
// that other entries exceed. The function returns "" for an entry that the answer
// does not concern. oneStream says that the entries asked about are all of the
// stream that was refused, as streams differ in how far behind is too far.
func Fault(why push.Refusal, oneStream bool) func(e *lokipush.Entry) push.Reason {
	// The answer has whole seconds, so the named second itself is undecided.
	limit := -1
	if m := lineLimit.FindStringSubmatch(why.Words); m != nil {
		limit, _ = strconv.Atoi(m[1])
	}
	before, early := find(oldest, why.Words), time.Time{}
	if oneStream {
		early = find(behind, why.Words)
	}
	after := find(tooNew, why.Words)
	return func(e *lokipush.Entry) push.Reason {
		switch {
		case limit > 0 && len(e.Line) > limit:
			return LineTooLong
		case !before.IsZero() && e.Timestamp.Before(before):
			return TooOld
		case !early.IsZero() && e.Timestamp.Before(early):
			return TooFarBehind
		case !after.IsZero() && !e.Timestamp.Before(after.Add(time.Second)):
			return TooNew
		}
		return ""
	}
}

// find returns the earliest time that the text names, zero if there is none.
func find(re *regexp.Regexp, text string) time.Time {
	var found time.Time
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		if t, err := time.Parse(time.RFC3339, m[1]); err == nil && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	return found
}
