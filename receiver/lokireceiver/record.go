package lokireceiver

import (
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/grafana/loki/pkg/push"
	"github.com/prometheus/prometheus/model/labels"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/invar-otel/invar/internal/lokiapi"
)

const (
	// hintAttributes is the attribute that lists, for the loki exporter, which
	// attributes were labels.
	hintAttributes = "loki.attribute.labels"
	// hintPrefix is the prefix of the names of all hints.
	hintPrefix = "loki."
	// extracted is the suffix that Loki's queries add to structured metadata with
	// the name of a label.
	extracted = "_extracted"
	// fewAttributes is up to how many attributes a record's map is filled in place.
	// Each insertion searches the map linearly.
	fewAttributes = 32
)

// filler fills the records of a stream, one after the other.
type filler struct {
	stream *stream

	names      map[string]struct{} // of labels; only used with many attributes
	collisions []push.LabelAdapter // metadata of the current record with the names of labels
	collided   map[string]int      // index in collisions by name; only used with many attributes
}

// attributes collects the attributes of a record.
type attributes struct {
	few  pcommon.Map
	many map[string]any // used instead of few if not nil
}

func (a *attributes) put(name, value string) {
	if a.many != nil {
		a.many[name] = value
	} else {
		a.few.PutStr(name, value)
	}
}

func (a *attributes) has(name string) bool {
	if a.many != nil {
		_, ok := a.many[name]
		return ok
	}
	_, ok := a.few.Get(name)
	return ok
}

// fill sets the attributes of a record from the stream's labels and an entry's
// structured metadata. Metadata that stands for a field of the record sets the
// field instead.
func (f *filler) fill(lr plog.LogRecord, metadata push.LabelsAdapter) {
	to := attributes{few: lr.Attributes()}
	if n := f.stream.labelCount + 1 + len(metadata); n > fewAttributes {
		to.many = make(map[string]any, n)
	} else {
		to.few.EnsureCapacity(n)
	}
	f.stream.labels.Range(func(l labels.Label) { to.put(l.Name, l.Value) })
	to.put(hintAttributes, f.stream.hint)
	f.collisions = f.collisions[:0]
	clear(f.collided)
	level := ""
	for _, m := range metadata {
		m.Name = attributeName(m.Name)
		switch {
		case m.Name == "detected_level" && severityOf(m.Value) != plog.SeverityNumberUnspecified:
			level = m.Value
		case setField(lr, m.Name, m.Value):
		case f.isLabel(m.Name, to.many != nil):
			f.collide(m, to.many != nil)
		default:
			to.put(m.Name, m.Value)
		}
	}
	switch n := severityOf(level); {
	case n == plog.SeverityNumberUnspecified:
	case lr.SeverityNumber() == plog.SeverityNumberUnspecified:
		lr.SetSeverityNumber(n)
	case (lr.SeverityNumber()-1)/4 != (n-1)/4: // the client sent both, and they differ
		to.put("detected_level", level)
	}
	f.putCollisions(&to)
	if to.many != nil {
		_ = to.few.FromRaw(to.many) // cannot fail for strings
	}
}

// collide records structured metadata with the name of a label. The last value of
// a name wins.
func (f *filler) collide(m push.LabelAdapter, many bool) {
	i := -1
	if many {
		if at, ok := f.collided[m.Name]; ok {
			i = at
		}
	} else {
		i = slices.IndexFunc(f.collisions, func(c push.LabelAdapter) bool { return c.Name == m.Name })
	}
	if i >= 0 {
		f.collisions[i].Value = m.Value
		return
	}
	if many {
		if f.collided == nil {
			f.collided = map[string]int{}
		}
		f.collided[m.Name] = len(f.collisions)
	}
	f.collisions = append(f.collisions, m)
}

// putCollisions adds structured metadata with the name of a label under the name
// that Loki's queries give it, or a longer one if that is in use.
func (f *filler) putCollisions(to *attributes) {
	for _, m := range f.collisions {
		name := m.Name + extracted
		for to.has(name) {
			name += extracted
		}
		to.put(name, m.Value)
	}
}

func (f *filler) isLabel(name string, many bool) bool {
	if !many {
		return f.stream.labels.Has(name)
	}
	if f.names == nil {
		f.names = make(map[string]struct{}, f.stream.labelCount)
		f.stream.labels.Range(func(l labels.Label) { f.names[l.Name] = struct{}{} })
	}
	_, ok := f.names[name]
	return ok
}

// attributeName returns the attribute's name for structured metadata. Clients must
// not send hints to the exporter, so a name that looks like a hint becomes the name
// that Loki would give it.
func attributeName(metadata string) string {
	if strings.HasPrefix(metadata, hintPrefix) {
		return lokiapi.LabelName(metadata)
	}
	return metadata
}

// setField sets the field of a record that structured metadata stands for, by the
// names that Loki's OTLP endpoint uses. It reports whether the field represents the
// pair exactly, so that no attribute is needed.
func setField(lr plog.LogRecord, name, value string) bool {
	switch name {
	case "trace_id":
		var id pcommon.TraceID
		if !decodeID(id[:], value) || id.IsEmpty() {
			return false
		}
		lr.SetTraceID(id)
		return id.String() == value
	case "span_id":
		var id pcommon.SpanID
		if !decodeID(id[:], value) || id.IsEmpty() {
			return false
		}
		lr.SetSpanID(id)
		return id.String() == value
	case "severity_text":
		lr.SetSeverityText(value)
		return true
	case "severity_number":
		n, err := strconv.Atoi(value)
		if err != nil || n < int(plog.SeverityNumberTrace) || n > int(plog.SeverityNumberFatal4) {
			return false
		}
		lr.SetSeverityNumber(plog.SeverityNumber(n))
		return strconv.Itoa(n) == value
	}
	return false
}

// severityOf returns the severity of a level, or unspecified if it is not one of
// OpenTelemetry's.
func severityOf(level string) plog.SeverityNumber {
	n := slices.Index([]string{"trace", "debug", "info", "warn", "error", "fatal"}, level)
	if n < 0 {
		return plog.SeverityNumberUnspecified
	}
	return plog.SeverityNumber(4*n + 1)
}

func decodeID(id []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(id)) {
		return false
	}
	_, err := hex.Decode(id, []byte(text))
	return err == nil
}
