package lokireceiver

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/lokiapi"
)

func pair(name, value string) push.LabelAdapter {
	return push.LabelAdapter{Name: name, Value: value}
}

func recordOf(t *testing.T, labels string, metadata ...push.LabelAdapter) plog.LogRecord {
	t.Helper()
	r := &push.PushRequest{Streams: []push.Stream{{Labels: labels, Entries: []push.Entry{{Timestamp: time.Unix(1, 0), Line: "x", StructuredMetadata: metadata}}}}}
	ld, refused, err := toLogs(r, lokiapi.NewBudget(1<<30), true, time.Unix(2, 0))
	require.NoError(t, err)
	require.NoError(t, refused.errs.Err())
	return ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
}

// TestAttributes covers few attributes and many, which are collected differently.
func TestAttributes(t *testing.T) {
	f := func(labels, hint string, want map[string]any, metadata ...push.LabelAdapter) {
		t.Helper()
		for _, others := range []int{0, 100} {
			all, want := metadata, maps.Clone(want)
			want[hintAttributes] = hint
			for i := range others {
				other := pair(fmt.Sprint("other", i), "y")
				all = append(all, other)
				want[other.Name] = "y"
			}
			require.Equal(t, want, recordOf(t, labels, all...).Attributes().AsRaw())
		}
	}
	type m = map[string]any
	f(`{app="a"}`, "app", m{"app": "a", "user": "u"}, pair("user", "u"))
	// Metadata with names of labels.
	f(`{app="a"}`, "app", m{"app": "a", "app_extracted": "b"}, pair("app", "b"))
	f(`{app="a"}`, "app", m{"app": "a", "app_extracted": "c"}, pair("app", "b"), pair("app", "c"))
	f(`{app="a", app_extracted="l"}`, "app,app_extracted", m{"app": "a", "app_extracted": "l", "app_extracted_extracted": "b"}, pair("app", "b"))
	f(`{app="a"}`, "app", m{"app": "a", "app_extracted": "c", "app_extracted_extracted": "b"}, pair("app", "b"), pair("app_extracted", "c"))
	f(`{app="a"}`, "app", m{"app": "a", "app_extracted": "c", "app_extracted_extracted": "b"}, pair("app_extracted", "c"), pair("app", "b"))
	// Metadata with names of hints.
	f(`{app="a"}`, "app", m{
		"app": "a", "loki_tenant": "team", "team": "other", "loki_format": "json", "loki_resource_labels": "x", "loki_attribute_labels": "team", "loki_tenant_header": "h",
	}, pair("loki.tenant", "team"), pair("team", "other"), pair("loki.format", "json"), pair("loki.resource.labels", "x"),
		pair("loki.attribute.labels", "team"), pair("loki.tenant.header", "h"))
	f(`{"loki.tenant"="team", loki_format="l"}`, "loki_format,loki_tenant", m{"loki_tenant": "team", "loki_format": "l", "loki_format_extracted": "m"}, pair("loki.format", "m"))
	f(`{"a,b"="1", " c"="2", "é"="3"}`, "_c,a_b,key", m{"a_b": "1", "_c": "2", "key": "3"})
	// Empty labels are dropped.
	f(`{app="a", b=""}`, "app", m{"app": "a", "b": "metadata"}, pair("b", "metadata"))
}

func TestLabelsThatBecomeOne(t *testing.T) {
	r := &push.PushRequest{Streams: []push.Stream{{Labels: `{"a.b"="1", a_b="2"}`, Entries: make([]push.Entry, 1)}}}
	_, refused, err := toLogs(r, lokiapi.NewBudget(1<<30), true, time.Unix(1, 0))
	require.NoError(t, err)
	require.ErrorContains(t, refused.errs.Err(), "has duplicate label name: 'a_b'")
	require.Equal(t, 1, refused.entries)
}

// TestFields checks that structured metadata sets fields, and stays an attribute if
// the field cannot represent it.
func TestFields(t *testing.T) {
	const id, span = "0102030405060708090a0b0c0d0e0f10", "0102030405060708"
	f := func(name, value string, kept bool, check func(plog.LogRecord)) {
		t.Helper()
		lr := recordOf(t, `{app="a"}`, pair(name, value))
		got, ok := lr.Attributes().Get(name)
		require.Equal(t, kept, ok)
		if kept {
			require.Equal(t, value, got.Str())
		}
		check(lr)
	}
	traced := func(lr plog.LogRecord) { require.Equal(t, id, lr.TraceID().String()) }
	untraced := func(lr plog.LogRecord) { require.True(t, lr.TraceID().IsEmpty()) }
	f("trace_id", id, false, traced)
	f("trace_id", "0102030405060708090A0B0C0D0E0F10", true, traced)
	f("trace_id", "00000000000000000000000000000000", true, untraced)
	f("trace_id", id[2:], true, untraced)
	f("trace_id", "x"+id[1:], true, untraced)
	f("span_id", span, false, func(lr plog.LogRecord) { require.Equal(t, span, lr.SpanID().String()) })
	f("span_id", "0000000000000000", true, func(lr plog.LogRecord) { require.True(t, lr.SpanID().IsEmpty()) })
	number := func(n plog.SeverityNumber) func(plog.LogRecord) {
		return func(lr plog.LogRecord) { require.Equal(t, n, lr.SeverityNumber()) }
	}
	f("severity_number", "10", false, number(10))
	f("severity_number", "010", true, number(10))
	f("severity_number", "0", true, number(0))
	f("severity_number", "25", true, number(0))
	f("severity_text", "odd", false, func(lr plog.LogRecord) { require.Equal(t, "odd", lr.SeverityText()) })
	f("detected_level", "error", false, number(17))
	f("detected_level", "unknown", true, number(0))

	for _, both := range [][]push.LabelAdapter{
		{pair("severity_number", "10"), pair("detected_level", "error")},
		{pair("detected_level", "error"), pair("severity_number", "10")},
	} {
		lr := recordOf(t, `{app="a"}`, both...)
		require.Equal(t, plog.SeverityNumberInfo2, lr.SeverityNumber())
		level, _ := lr.Attributes().Get("detected_level")
		require.Equal(t, "error", level.Str(), "the client says both")
	}
	lr := recordOf(t, `{app="a"}`, pair("detected_level", "info"), pair("severity_number", "10"))
	require.Equal(t, plog.SeverityNumberInfo2, lr.SeverityNumber())
	require.NotContains(t, lr.Attributes().AsRaw(), "detected_level")
}
