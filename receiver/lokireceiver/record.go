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
	// hintAttributes is the attribute by which the loki exporter makes labels of
	// what were labels.
	hintAttributes = "loki.attribute.labels"
	// hintPrefix is what the names of all hints begin with.
	hintPrefix = "loki."
	// extracted is the suffix by which Loki's queries tell structured metadata
	// from a label of the same name.
	extracted = "_extracted"
	// fewAttributes is how many attributes of a record are put one by one, which
	// looks through those that are there.
	fewAttributes = 32
)

// filler fills the records of a stream, one after the other.
type filler struct {
	*stream

	names      map[string]struct{} // of labels, if there are many attributes
	collisions []push.LabelAdapter // of a record, with labels
	collided   map[string]int      // names in collisions, if there are many attributes
}

// attributes are those of a record under construction.
type attributes struct {
	pcommon.Map
	many map[string]any // instead, if there are many
}

func (a *attributes) put(name, value string) {
	if a.many != nil {
		a.many[name] = value
	} else {
		a.PutStr(name, value)
	}
}

func (a *attributes) has(name string) bool {
	if a.many != nil {
		_, ok := a.many[name]
		return ok
	}
	_, ok := a.Get(name)
	return ok
}

// fill makes attributes of the labels and of an entry's structured metadata, or
// fields of those pairs that stand for one.
func (f *filler) fill(lr plog.LogRecord, metadata push.LabelsAdapter) {
	to := attributes{Map: lr.Attributes()}
	if n := f.n + 1 + len(metadata); n > fewAttributes {
		to.many = make(map[string]any, n)
	} else {
		to.EnsureCapacity(n)
	}
	f.labels.Range(func(l labels.Label) { to.put(l.Name, l.Value) })
	to.put(hintAttributes, f.hint)
	f.collisions = f.collisions[:0]
	clear(f.collided)
	level := ""
	for _, m := range metadata {
		m.Name = attributeName(m.Name)
		switch {
		case m.Name == "detected_level" && severityOf(m.Value) != plog.SeverityNumberUnspecified:
			level = m.Value
		case isField(lr, m.Name, m.Value):
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
	case (lr.SeverityNumber()-1)/4 != (n-1)/4: // the client says both
		to.put("detected_level", level)
	}
	f.putCollisions(&to)
	if to.many != nil {
		_ = to.FromRaw(to.many) // strings are valid
	}
}

// collide notes structured metadata with the name of a label. The last of a name
// counts.
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

// putCollisions puts structured metadata with the name of a label under the name
// by which Loki's queries know it, or a longer one if something else has that.
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
		return f.labels.Has(name)
	}
	if f.names == nil {
		f.names = make(map[string]struct{}, f.n)
		f.labels.Range(func(l labels.Label) { f.names[l.Name] = struct{}{} })
	}
	_, ok := f.names[name]
	return ok
}

// attributeName is the name of the attribute that structured metadata becomes.
// What a client sends is data and no hint to the exporter: a name like those of
// hints becomes the one that Loki itself would give it.
func attributeName(metadata string) string {
	if strings.HasPrefix(metadata, hintPrefix) {
		return lokiapi.LabelName(metadata)
	}
	return metadata
}

// isField sets the field of a record that a pair of structured metadata stands
// for, by the names that Loki's OTLP endpoint uses. It reports whether the field
// holds all that the pair says, so that the pair can be made of it again.
func isField(lr plog.LogRecord, name, value string) bool {
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

// severityOf is the severity that a level stands for, unspecified if it is none
// of those that OpenTelemetry has.
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
