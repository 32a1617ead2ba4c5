package translate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/go-logfmt/logfmt"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// text returns a value as Loki's OTLP endpoint writes it: maps and lists as JSON,
// bytes in base64, and always valid UTF-8.
func text(v pcommon.Value) string {
	if v.Type() == pcommon.ValueTypeStr {
		return valid(v.Str())
	}
	s := v.AsString()
	if s == "" && (v.Type() == pcommon.ValueTypeMap || v.Type() == pcommon.ValueTypeSlice) {
		s, _ = marshal(finite(v.AsRaw())) // it has NaN or an infinity
	}
	return valid(s)
}

// valid replaces invalid UTF-8 by U+FFFD, as Loki does.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// source has what a line is made of.
type source struct {
	record   plog.LogRecord
	resource pcommon.Resource
	scope    pcommon.InstrumentationScope
	// These select the attributes that are not labels, if the line has attributes.
	keepRecord, keepResource, keepScope keeper
}

// line returns the line of the record.
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
		Attributes: s.keepRecord.raw(s.record.Attributes()), Resources: s.keepResource.raw(s.resource.Attributes()),
	}
	if body := s.record.Body(); body.Type() != pcommon.ValueTypeEmpty {
		line.Body = body.AsRaw()
	}
	if s.scope.Name() != "" {
		line.Scope = &scope{s.scope.Name(), s.scope.Version(), s.keepScope.raw(s.scope.Attributes())}
	}
	encoded, err := marshal(line)
	if err != nil {
		line.Body, line.Attributes, line.Resources = finite(line.Body), finiteMap(line.Attributes), finiteMap(line.Resources)
		if line.Scope != nil {
			line.Scope.Attributes = finiteMap(line.Scope.Attributes)
		}
		encoded, _ = marshal(line)
	}
	return encoded
}

func marshal(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // a line is not HTML
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// finite replaces numbers that JSON cannot hold by their text in pdata: NaN,
// Infinity and -Infinity, as in the JSON encoding of protobuf.
func finite(v any) any {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return pcommon.NewValueDouble(v).AsString()
		}
	case map[string]any:
		return finiteMap(v)
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	}
	return v
}

func finiteMap(m map[string]any) map[string]any {
	for k, v := range m {
		m[k] = finite(v)
	}
	return m
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
	pairs = s.keepRecord.appendPairs(pairs, "attribute_", s.record.Attributes())
	pairs = s.keepResource.appendPairs(pairs, "resource_", s.resource.Attributes())
	add("instrumentation_scope_name", s.scope.Name())
	add("instrumentation_scope_version", s.scope.Version())
	pairs = s.keepScope.appendPairs(pairs, "instrumentation_scope_attribute_", s.scope.Attributes())
	var b bytes.Buffer
	enc := logfmt.NewEncoder(&b)
	for i := 0; i < len(pairs); i += 2 {
		// The encoder fails for keys without valid characters, which are left out.
		_ = enc.EncodeKeyval(pairs[i], pairs[i+1])
	}
	return b.String()
}

// bodyPairs returns the pairs of a body: those in it if it is logfmt or a map,
// otherwise msg with its text.
func bodyPairs(body pcommon.Value) []any {
	switch body.Type() {
	case pcommon.ValueTypeEmpty:
		return nil
	case pcommon.ValueTypeMap:
		var pairs []any
		for k, v := range body.Map().All() {
			pairs = appendPairs(pairs, k, v, 1)
		}
		return pairs
	case pcommon.ValueTypeStr:
		if pairs := parseLogfmt(body.Str()); pairs != nil {
			return pairs
		}
	}
	return []any{"msg", text(body)}
}

// parseLogfmt returns the pairs of a line, or nil if a word in it is not a pair.
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

func appendPairs(pairs []any, key string, v pcommon.Value, depth int) []any {
	if v.Type() != pcommon.ValueTypeMap || depth >= maxDepth {
		return append(pairs, key, text(v))
	}
	for k, nested := range v.Map().All() {
		pairs = appendPairs(pairs, key+"_"+k, nested, depth+1)
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
