package refusal

import (
	"strings"
	"testing"
	"time"

	lokipush "github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"

	"github.com/invar-otel/invar/internal/push"
)

func TestReasons(t *testing.T) {
	f := func(words string, want push.Reason, stream bool) {
		t.Helper()
		got := Of(words)
		require.Equal(t, want, got.Reason)
		require.Equal(t, stream, OfStream(got.Reason))
	}
	f("ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '1000' lines totaling '9999999' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased", push.RateLimited, false)
	f("entry with timestamp 2026-01-02 ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{a=\"b\"}' totaling 1MB, consider splitting a stream'", StreamRateLimit, false)
	f("maximum active stream limit exceeded when trying to create stream {a=\"b\"}, reduce the number of active streams", StreamLimit, true)
	f("max entry size '262144' bytes exceeded for stream '{a=\"b\"}' while adding an entry with length '300000' bytes", LineTooLong, false)
	f("entry with timestamp 2020-01-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2020-01-02T00:00:00Z',", TooFarBehind, false)
	f("entry for stream '{a=\"b\"}' has 16 label names; limit 15", "max_label_names_per_series", true)
	f("stream '{}' has label value too long: 'x'", "label_value_too_long", true)
	f("error at least one label pair is required per stream", "missing_labels", true)
	f("couldn't parse labels: 1:2: parse error", "invalid_labels", true)
	f("stream '{}' has structured metadata too large: '70000' bytes, limit: '65536' bytes.", "structured_metadata_too_large", false)
	f("upstream says no", push.UnknownReason, false)
}

func TestFault(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		require.NoError(t, err)
		return v
	}
	f := func(words string, one bool, e lokipush.Entry, want push.Reason) {
		t.Helper()
		require.Equal(t, want, Fault(Of(words), one)(&e))
	}
	long := "max entry size '10' bytes exceeded for stream '{}' while adding an entry with length '11' bytes"
	f(long, true, lokipush.Entry{Line: "01234567890"}, LineTooLong)
	f(long, true, lokipush.Entry{Line: "0123456789"}, "")

	old := "entry for stream '{}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-01-02T03:04:05Z"
	f(old, false, lokipush.Entry{Timestamp: at("2026-01-02T03:04:04.9Z")}, TooOld)
	f(old, false, lokipush.Entry{Timestamp: at("2026-01-02T03:04:05Z")}, "")

	behind := "reason: 'entry too far behind, entry timestamp is: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-01-02T03:04:05Z',"
	f(behind, true, lokipush.Entry{Timestamp: at("2026-01-02T03:04:04Z")}, TooFarBehind)
	f(behind, false, lokipush.Entry{Timestamp: at("2026-01-02T03:04:04Z")}, "")

	future := "entry for stream '{}' has timestamp too new: 2030-01-02T03:04:05Z"
	f(future, false, lokipush.Entry{Timestamp: at("2030-01-02T03:04:06Z")}, TooNew)
	f(future, false, lokipush.Entry{Timestamp: at("2030-01-02T03:04:05.9Z")}, "")

	// Several faults in one answer.
	f(long+"; "+old, false, lokipush.Entry{Line: "x", Timestamp: at("2026-01-01T00:00:00Z")}, TooOld)
	f("no", false, lokipush.Entry{Line: strings.Repeat("x", 1000)}, "")
}

// FuzzFault reads arbitrary answers.
func FuzzFault(f *testing.F) {
	f.Add("max entry size '99999999999999999999' bytes exceeded", "line", int64(5))
	f.Add("has timestamp too old: x, oldest acceptable timestamp is: 2026-01-02T03:04:05Z", "line", int64(5))
	f.Fuzz(func(_ *testing.T, words, line string, nanos int64) {
		r := Of(words)
		e := lokipush.Entry{Line: line, Timestamp: time.Unix(0, nanos)}
		Fault(r, true)(&e)
		Fault(r, false)(&e)
	})
}
