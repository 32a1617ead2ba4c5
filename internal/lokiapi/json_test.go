package lokiapi

import (
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
)

// TestDecodeJSON decodes what clients send. The end-to-end test TestLokiPushAsLoki
// sends the same to a real Loki.
func TestDecodeJSON(t *testing.T) {
	f := func(body string, want ...push.Stream) {
		t.Helper()
		r, err := DecodeJSON([]byte(body), unlimited())
		require.NoError(t, err)
		require.Equal(t, want, r.Streams)
	}
	at := func(n int64) time.Time { return time.Unix(0, n) }
	one := func(labels string, entries ...push.Entry) push.Stream {
		return push.Stream{Labels: labels, Entries: entries}
	}

	f(`{"streams": [{"labels": "{a=\"b\"}", "entries": [{"ts": "2026-01-02T03:04:05Z", "line": "x"}, null, {"line": "y"}]}]}`,
		one(`{a="b"}`, push.Entry{Timestamp: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Line: "x"}, push.Entry{Line: "y"}))
	// Labels of any type.
	f(`{"streams": [{"stream": {"n": 1.50, "t": true, "o": {"x": 1}, "l": [1], "z": null, "s": "\u00e9"}, "values": [["1", "x"]]}]}`,
		one(`{l="[1]", n="1.50", o="{\"x\": 1}", s="é", t="true", z="null"}`, push.Entry{Timestamp: at(1), Line: "x"}))
	// The last value of a name counts.
	f(`{"streams": [{"stream": {"a": "1", "a": "2"}, "values": [["1", "x"]]}]}`, one(`{a="2"}`, push.Entry{Timestamp: at(1), Line: "x"}))
	// Nulls.
	f(`null`)
	f(`{"streams": null}`)
	f(`{"streams": [null, {"stream": {"a": "b"}, "values": null}, {"stream": {"a": "c"}, "values": [null, ["-1", "x", null], null]}]}`,
		one(`{a="b"}`), one(`{a="c"}`, push.Entry{Timestamp: at(-1), Line: "x"}))
	// Missing parts, and too many.
	f(`{"streams": [{"stream": {"a": "b"}, "values": [[], ["1"], ["1", "x", {}, {"more": []}, 4, null]]}]}`,
		one(`{a="b"}`, push.Entry{}, push.Entry{Timestamp: at(1)}, push.Entry{Timestamp: at(1), Line: "x"}))
	// Structured metadata in the order of the request, a name twice.
	f(`{"streams": [{"stream": {"a": "b"}, "values": [["1", "x", {"z": "\n", "b": 1e3, "z": true, "k.\u0065": ""}]]}]}`,
		one(`{a="b"}`, push.Entry{Timestamp: at(1), Line: "x", StructuredMetadata: push.LabelsAdapter{
			{Name: "z", Value: "\n"}, {Name: "b", Value: "1e3"}, {Name: "z", Value: "true"}, {Name: "k.e", Value: ""},
		}}))
	// Invalid labels concern their stream only.
	f(`{"streams": [{"stream": {"a-b": "c"}, "values": [["1", "x"]]}, {"values": [["1", "y"]]}]}`,
		one(`{a-b="c"}`, push.Entry{Timestamp: at(1), Line: "x"}), one("", push.Entry{Timestamp: at(1), Line: "y"}))
	// Invalid UTF-8, and half of a surrogate pair.
	f("{\"streams\": [{\"stream\": {\"a\": \"b\"}, \"values\": [[\"1\", \"x\xff\"], [\"1\", \"y\\ud800\"], [\"1\", \"\\ud83d\\ude00\"]]}]}",
		one(`{a="b"}`, push.Entry{Timestamp: at(1), Line: "x\uFFFD"}, push.Entry{Timestamp: at(1), Line: "y\uFFFD"}, push.Entry{Timestamp: at(1), Line: "😀"}))
	// Unknown keys, and text after the request.
	f(`{"x": [{}], "Streams": [{"y": 1, "stream": {"a": "b"}, "values": [["1", "x"]], "z": {"values": 1}}]} and more`,
		one(`{a="b"}`, push.Entry{Timestamp: at(1), Line: "x"}))
}

func TestDecodeWrongJSON(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		_, err := DecodeJSON([]byte(body), unlimited())
		require.ErrorContains(t, err, "the body is not a push request in JSON")
		require.ErrorContains(t, err, want)
	}
	f(``, "unexpected EOF")
	f(`{`, "unexpected EOF")
	f(`[]`, "it is not an object")
	f(`{"streams": {}}`, "streams is not a list")
	f(`{"streams": ["x"]}`, `a stream is not an object, but "x"`)
	f(`{"streams": [{"stream": null}]}`, "the labels of a stream are not an object")
	f(`{"streams": [{"stream": {"a": "c"}, "values": [[1, "x"]]}]}`, `not a string of nanoseconds, but "1"`)
	f(`{"streams": [{"stream": {"a": "c"}, "values": [["now", "x"]]}]}`, `not in nanoseconds, but "now"`)
	f(`{"streams": [{"stream": {"a": "c"}, "values": [["1", 2]]}]}`, "line of an entry is not a string")
	f(`{"streams": [{"stream": {"a": "c"}, "values": [["1", null]]}]}`, "line of an entry is not a string")
	f(`{"streams": [{"stream": {"a": "c"}, "values": [["1", "2", {"m": {}}]]}]}`, `metadata "m" is not a string`)
	f(`{"streams": [{"stream": {"a": "c"}, "values": [["1", "2", "m"]]}]}`, "not an object")
	f(`{"streams": [{"stream": {"a": "c"}, "values": "x"}]}`, "values is not a list")
	f(`{"streams": [{"stream": {"a": "c"}, "values": ["x"]}]}`, "an entry is not a list")
	f(`{"streams": [{"labels": "{}", "entries": [{"ts": "now"}]}]}`, "not like 2006-01-02T15:04:05Z")
}
