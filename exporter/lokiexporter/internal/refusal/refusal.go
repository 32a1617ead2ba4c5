// Package refusal reads why Loki did not take logs. Loki answers a push in words
// only; the reasons are the names under which it counts the same refusals in
// loki_discarded_samples_total, and the words are those of Loki 3
// (pkg/validation/validate.go and pkg/chunkenc/interface.go there).
package refusal

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"
)

// Reason is Loki's name of a limit or of a fault of the data.
type Reason string

// Reasons that decide what is done.
const (
	RateLimited     Reason = "rate_limited"
	StreamRateLimit Reason = "per_stream_rate_limit"
	StreamLimit     Reason = "stream_limit"
	LineTooLong     Reason = "line_too_long"
	TooFarBehind    Reason = "too_far_behind"
	OutOfOrder      Reason = "out_of_order"
	TooOld          Reason = "greater_than_max_sample_age"
	TooNew          Reason = "too_far_in_future"
	BodyTooLarge    Reason = "request_body_too_large"
	// InvalidTenant is the exporter's own: Loki would take no such tenant.
	InvalidTenant Reason = "invalid_tenant"
	// Unknown is a reason that the words don't tell.
	Unknown Reason = "unknown"
)

// known are the words by which a reason is told, in lower case.
var known = []struct {
	words  string
	reason Reason
	stream bool // the fault is that of the labels: no entry of the stream is taken
}{
	{"ingestion rate limit exceeded", RateLimited, false},
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
	{"error parsing labels", "invalid_labels", true},
	{"couldn't parse labels", "invalid_labels", true},
	{"stream labels size", "invalid_labels", true},
	{"includes structured metadata, but this feature is disallowed", "disallowed_structured_metadata", false},
	{"has structured metadata too large", "structured_metadata_too_large", false},
	{"has too many structured metadata labels", "structured_metadata_too_many", false},
	{"ingestion blocked", "blocked_ingestion", false},
	{"request body too large", BodyTooLarge, false},
	{"message size", BodyTooLarge, false},
}

// Refusal is what an answer says.
type Refusal struct {
	Reason Reason
	// Stream tells that the labels are at fault.
	Stream bool
	words  string
}

// Of reads the words of an answer.
func Of(words string) Refusal {
	lower := strings.ToLower(words)
	for _, k := range known {
		if strings.Contains(lower, k.words) {
			return Refusal{Reason: k.reason, Stream: k.stream, words: words}
		}
	}
	return Refusal{Reason: Unknown, words: words}
}

var (
	lineLimit = regexp.MustCompile(`(?i)max entry size '?(\d+)'? bytes exceeded`)
	oldest    = regexp.MustCompile(`has timestamp too old: \S+, oldest acceptable timestamp is: ([0-9TZ:.+-]+)`)
	behind    = regexp.MustCompile(`entry too far behind, entry timestamp is: \S+, oldest acceptable timestamp is: ([0-9TZ:.+-]+)`)
	tooNew    = regexp.MustCompile(`has timestamp too new: ([0-9TZ:.+-]+)`)
)

// Fault tells why Loki would refuse an entry too, as far as its words say so:
// they name one entry, but also the limit that others exceed with it. It is
// empty for an entry of which they say nothing. one tells that the entries asked
// about are all of the stream that was refused: how far behind is too far
// differs from stream to stream.
func (r Refusal) Fault(one bool) func(e *push.Entry) Reason {
	// Times are in whole seconds there, so that the second itself is undecided.
	limit := -1
	if m := lineLimit.FindStringSubmatch(r.words); m != nil {
		limit, _ = strconv.Atoi(m[1])
	}
	before, early := find(oldest, r.words), time.Time{}
	if one {
		early = find(behind, r.words)
	}
	after := find(tooNew, r.words)
	return func(e *push.Entry) Reason {
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

// find is the earliest of the times that the words name, zero if there is none.
func find(re *regexp.Regexp, words string) time.Time {
	var found time.Time
	for _, m := range re.FindAllStringSubmatch(words, -1) {
		if t, err := time.Parse(time.RFC3339, m[1]); err == nil && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	return found
}

// Words are what Loki said, at most 512 bytes of it.
func (r Refusal) Words() string { return r.words[:min(len(r.words), 512)] }
