package lokireceiver

import (
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// hintAttributes is the attribute by which the loki exporter makes labels of
// what were labels.
const hintAttributes = "loki.attribute.labels"

// Errors of requests, in Loki's words.
var (
	errNoStreams = errors.New("error at least one valid stream is required for ingestion")
	errNoLabels  = errors.New("error at least one label pair is required per stream")
)

// toLogs makes a record of each entry; labels and structured metadata become its
// attributes. The second result is what is wrong with streams that are left out.
func toLogs(r *push.PushRequest, keepTimestamp bool, now time.Time) (plog.Logs, error) {
	ld := plog.NewLogs()
	var errs error
	records := ld.ResourceLogs().AppendEmpty().ScopeLogs().AppendEmpty().LogRecords()
	for i := range r.Streams {
		s := &r.Streams[i]
		ls, err := lokiapi.ParseLabels(s.Labels)
		if err == nil && ls.IsEmpty() {
			err = errNoLabels
		}
		if err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		hint := names(ls)
		records.EnsureCapacity(records.Len() + len(s.Entries))
		for j := range s.Entries {
			fill(records.AppendEmpty(), &s.Entries[j], ls, hint, keepTimestamp, now)
		}
	}
	return ld, errs
}

func names(ls labels.Labels) string {
	all := make([]string, 0, ls.Len())
	ls.Range(func(l labels.Label) { all = append(all, l.Name) })
	return strings.Join(all, ",")
}

func fill(lr plog.LogRecord, e *push.Entry, ls labels.Labels, hint string, keepTimestamp bool, now time.Time) {
	lr.Body().SetStr(e.Line)
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(now))
	if keepTimestamp {
		lr.SetTimestamp(pcommon.NewTimestampFromTime(e.Timestamp))
	}
	attributes := lr.Attributes()
	attributes.EnsureCapacity(ls.Len() + len(e.StructuredMetadata) + 1)
	ls.Range(func(l labels.Label) { attributes.PutStr(l.Name, l.Value) })
	attributes.PutStr(hintAttributes, hint)
	for _, m := range e.StructuredMetadata {
		if isField(lr, m.Name, m.Value) {
			continue
		}
		name := m.Name
		if ls.Has(name) || name == hintAttributes {
			name += "_extracted" // as Loki names it in queries
		}
		attributes.PutStr(name, m.Value)
	}
}

// isField sets the field of a record that a pair of structured metadata stands
// for, by the names that Loki's OTLP endpoint and its level detection use.
func isField(lr plog.LogRecord, name, value string) bool {
	switch name {
	case "trace_id":
		var id pcommon.TraceID
		if !decodeID(id[:], value) {
			return false
		}
		lr.SetTraceID(id)
	case "span_id":
		var id pcommon.SpanID
		if !decodeID(id[:], value) {
			return false
		}
		lr.SetSpanID(id)
	case "severity_text":
		lr.SetSeverityText(value)
	case "severity_number":
		n, err := strconv.Atoi(value)
		if err != nil || n < int(plog.SeverityNumberTrace) || n > int(plog.SeverityNumberFatal4) {
			return false
		}
		lr.SetSeverityNumber(plog.SeverityNumber(n))
	case "detected_level":
		n := slices.Index([]string{"", "trace", "debug", "info", "warn", "error", "fatal"}, value)
		if n < 1 {
			return false
		}
		if lr.SeverityNumber() == plog.SeverityNumberUnspecified { // a number says more
			lr.SetSeverityNumber(plog.SeverityNumber(4*(n-1) + 1))
		}
	default:
		return false
	}
	return true
}

func decodeID(id []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(id)) {
		return false
	}
	_, err := hex.Decode(id, []byte(text))
	return err == nil
}
