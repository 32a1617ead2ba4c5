package translate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/go-logfmt/logfmt"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// text is a value as Loki's OTLP endpoint writes it: maps and lists as JSON,
// bytes in base64, and always UTF-8.
func text(v pcommon.Value) string {
	if v.Type() == pcommon.ValueTypeStr {
		return valid(v.Str())
	}
	return valid(v.AsString())
}

// valid replaces what is not UTF-8 by U+FFFD, as Loki would.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// source is where a line's parts come from.
type source struct {
	record   plog.LogRecord
	resource pcommon.Resource
	scope    pcommon.InstrumentationScope
	// keepRecord and keepResource tell which attributes are not labels.
	keepRecord, keepResource func(name string) bool
}

// line makes the line of a record.
func (s source) line(f Format) string {
	switch f {
	case JSON:
		return s.json()
	case Logfmt:
		return s.logfmt()
	}
	return text(s.record.Body())
}

func (s source) json() string {
	type scope struct {
		Name       string         `json:"name,omitempty"`
		Version    string         `json:"version,omitempty"`
		Attributes map[string]any `json:"attributes,omitempty"`
	}
	line := struct {
		Body       any            `json:"body,omitempty"`
		TraceID    string         `json:"traceid,omitempty"`
		SpanID     string         `json:"spanid,omitempty"`
		Severity   string         `json:"severity,omitempty"`
		Flags      uint32         `json:"flags,omitempty"`
		Attributes map[string]any `json:"attributes,omitempty"`
		Resources  map[string]any `json:"resources,omitempty"`
		Scope      *scope         `json:"instrumentation_scope,omitempty"`
	}{
		TraceID: traceID(s.record), SpanID: spanID(s.record),
		Severity: s.record.SeverityText(), Flags: uint32(s.record.Flags()),
		Attributes: raw(s.record.Attributes(), s.keepRecord), Resources: raw(s.resource.Attributes(), s.keepResource),
	}
	if body := s.record.Body(); body.Type() != pcommon.ValueTypeEmpty {
		line.Body = body.AsRaw()
	}
	if s.scope.Name() != "" {
		line.Scope = &scope{s.scope.Name(), s.scope.Version(), raw(s.scope.Attributes(), nil)}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a line is not a page
	if err := enc.Encode(line); err != nil {
		return text(s.record.Body()) // a number that JSON does not have, as NaN
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// raw is the map as Go values, without the attributes that are labels.
func raw(m pcommon.Map, keep func(string) bool) map[string]any {
	out := make(map[string]any, m.Len())
	for k, v := range m.All() {
		if keep == nil || keep(k) {
			out[k] = v.AsRaw()
		}
	}
	return out
}

func (s source) logfmt() string {
	var pairs []any
	add := func(key, value string) {
		if value != "" {
			pairs = append(pairs, key, value)
		}
	}
	pairs = append(pairs, bodyPairs(s.record.Body())...)
	add("traceID", traceID(s.record))
	add("spanID", spanID(s.record))
	add("severity", s.record.SeverityText())
	for k, v := range s.record.Attributes().All() {
		if s.keepRecord(k) {
			pairs = appendPairs(pairs, "attribute_"+k, v)
		}
	}
	for k, v := range s.resource.Attributes().All() {
		if s.keepResource(k) {
			pairs = appendPairs(pairs, "resource_"+k, v)
		}
	}
	add("instrumentation_scope_name", s.scope.Name())
	add("instrumentation_scope_version", s.scope.Version())
	for k, v := range s.scope.Attributes().All() {
		pairs = appendPairs(pairs, "instrumentation_scope_attribute_"+k, v)
	}
	var b bytes.Buffer
	enc := logfmt.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		// A key of which nothing is left is left out, the others are written.
		_ = enc.EncodeKeyval(pairs[i], pairs[i+1])
	}
	return b.String()
}

// bodyPairs are the pairs of a body: its own, if it is logfmt or a map.
func bodyPairs(body pcommon.Value) []any {
	switch body.Type() {
	case pcommon.ValueTypeEmpty:
		return nil
	case pcommon.ValueTypeMap:
		var pairs []any
		for k, v := range body.Map().All() {
			pairs = appendPairs(pairs, k, v)
		}
		return pairs
	case pcommon.ValueTypeStr:
		if pairs := parseLogfmt(body.Str()); pairs != nil {
			return pairs
		}
	}
	return []any{"msg", text(body)}
}

// parseLogfmt is nil if a word of the line is not a pair.
func parseLogfmt(line string) []any {
	var pairs []any
	dec := logfmt.NewDecoder(strings.NewReader(line))
	for dec.ScanRecord() {
		for dec.ScanKeyval() {
			if dec.Value() == nil {
				return nil
			}
			pairs = append(pairs, string(dec.Key()), string(dec.Value()))
		}
	}
	if dec.Err() != nil {
		return nil
	}
	return pairs
}

func appendPairs(pairs []any, key string, v pcommon.Value) []any {
	if v.Type() != pcommon.ValueTypeMap {
		return append(pairs, key, text(v))
	}
	for k, nested := range v.Map().All() {
		pairs = appendPairs(pairs, fmt.Sprintf("%s_%s", key, k), nested)
	}
	return pairs
}

func traceID(r plog.LogRecord) string {
	id := r.TraceID()
	if id.IsEmpty() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

func spanID(r plog.LogRecord) string {
	id := r.SpanID()
	if id.IsEmpty() {
		return ""
	}
	return hex.EncodeToString(id[:])
}
