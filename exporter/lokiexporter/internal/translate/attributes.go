package translate

import (
	"strings"

	"github.com/grafana/loki/pkg/push"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/lokiapi"
)

// Limits of what a translator remembers, and of flattening.
const (
	maxNames      = 10_000
	maxNameLength = 256 // longer names are not remembered, in bytes
	maxDepth      = 32  // deeper maps are sent as JSON
	manyPairs     = 32  // more pairs are looked up in a map
)

// side is what the attributes of records, of resources, or of scopes become.
type side struct {
	labels map[string]int    // indexes in Rules.labels, by attribute
	places map[string]*place // by path
}

// reading is what was read from the attributes of a record or resource.
type reading struct {
	values []string // of labels, by index
	hinted bool
	tenant string
	header string // the tenant of the request's header
	// nested has labels found inside maps. An attribute whose name is the whole path
	// takes precedence.
	nested []nestedLabel
}

type nestedLabel struct {
	label  int    // index in Rules.labels; -1 for a label of a hint, and for the tenant
	name   string // of the label, or of structured metadata
	value  string
	tenant bool
	path   string // of a label of a hint
}

func (r *reading) reset() {
	clear(r.values)
	r.hinted, r.tenant, r.header = false, "", ""
	if len(r.nested) > 0 {
		clear(r.nested)
		r.nested = r.nested[:0]
	}
}

// read reads attributes into r and puts those that the hint names into t.set. If
// metadata is set, it appends to dst what becomes structured metadata.
func (t *Translator) read(r *reading, s *side, m pcommon.Map, hint *hint, metadata bool, dst []push.LabelAdapter) []push.LabelAdapter {
	for k, v := range m.All() {
		p := t.place(s, k)
		if p.kind == toMetadata && hint == nil && !p.inside { // the usual case
			if metadata {
				dst = t.appendMetadata(dst, p.name, v, 0)
			}
			continue
		}
		switch {
		case !p.tenant:
		case k == HeaderTenant:
			r.header = text(v)
		default:
			r.tenant = text(v)
		}
		switch p.kind {
		case toLabel:
			if value := text(v); value != "" || r.values[p.label] == "" {
				r.values[p.label] = value
			}
		case isHint:
			r.hinted = true
		case toMetadata, toNothing:
			switch {
			case hint.promotes(k):
				t.set.put(t.name(k), text(v), false)
			case hint.consumes(k):
			case v.Type() == pcommon.ValueTypeMap && (p.inside || hint.hasInside(k)):
				t.path = append(t.path[:0], k...)
				dst = t.readInside(r, s, v.Map(), hint, t.name(k), p.kind == toMetadata && metadata, dst)
			case v.Type() == pcommon.ValueTypeSlice && p.inside && p.kind == toMetadata && metadata:
				t.path = append(t.path[:0], k...)
				dst = t.appendPruned(dst, s, t.name(k), v.Slice())
			case p.kind == toMetadata && metadata:
				dst = t.appendMetadata(dst, p.name, v, 0)
			}
		case isTenant:
		}
	}
	if len(r.nested) > 0 {
		dst = t.settleNested(r, m, metadata, dst)
	}
	return dst
}

// readInside reads the values of the map at t.path, in which the rules or a hint
// name values.
func (t *Translator) readInside(r *reading, s *side, m pcommon.Map, hint *hint, name string, metadata bool, dst []push.LabelAdapter) []push.LabelAdapter {
	end := len(t.path)
	for k, v := range m.All() {
		t.path = append(append(t.path[:end], '.'), k...)
		p := t.placeAt(s)
		name := t.name(name + "_" + k)
		switch {
		case p.kind == toLabel:
			r.nested = append(r.nested, nestedLabel{label: p.label, name: name, value: text(v), tenant: p.tenant})
		case p.tenant && p.kind == isTenant && string(t.path) != HeaderTenant:
			r.nested = append(r.nested, nestedLabel{label: -1, value: text(v), tenant: true})
		case hint.promotesAt(t.path):
			r.nested = append(r.nested, nestedLabel{label: -1, name: name, value: text(v), path: string(t.path)})
		case v.Type() == pcommon.ValueTypeMap && (p.inside || hint.hasInsideAt(t.path)):
			dst = t.readInside(r, s, v.Map(), hint, name, metadata && p.kind == toMetadata, dst)
		case v.Type() == pcommon.ValueTypeSlice && p.inside && p.kind == toMetadata && metadata:
			dst = t.appendPruned(dst, s, name, v.Slice())
		case metadata && p.kind == toMetadata:
			dst = t.appendMetadata(dst, name, v, 1)
		}
	}
	return dst
}

// appendPruned appends the list at t.path as one pair, without those values in its
// maps that are not sent as structured metadata. Values in a list never become
// labels.
func (t *Translator) appendPruned(dst []push.LabelAdapter, s *side, name string, list pcommon.Slice) []push.LabelAdapter {
	text, _ := marshal(finite(t.prunedList(s, list)))
	return append(dst, push.LabelAdapter{Name: name, Value: valid(text)})
}

func (t *Translator) prunedList(s *side, list pcommon.Slice) []any {
	out := make([]any, 0, list.Len())
	for _, v := range list.All() {
		out = append(out, t.pruned(s, v))
	}
	return out
}

func (t *Translator) pruned(s *side, v pcommon.Value) any {
	switch v.Type() {
	case pcommon.ValueTypeSlice:
		return t.prunedList(s, v.Slice())
	case pcommon.ValueTypeMap:
		out := make(map[string]any, v.Map().Len())
		end := len(t.path)
		for k, nested := range v.Map().All() {
			t.path = append(append(t.path[:end], '.'), k...)
			switch p := t.placeAt(s); {
			case p.kind != toMetadata && p.kind != toLabel:
			case p.inside:
				out[k] = t.pruned(s, nested)
			default:
				out[k] = nested.AsRaw()
			}
		}
		t.path = t.path[:end]
		return out
	}
	return v.AsRaw()
}

// settleNested gives labels and the tenant the values found inside maps, unless an
// attribute of m takes precedence. Values that do not become labels are appended to
// the structured metadata, so that they are not lost.
func (t *Translator) settleNested(r *reading, m pcommon.Map, metadata bool, dst []push.LabelAdapter) []push.LabelAdapter {
	preceding := func(path string) string { return get(m, path) }
	if len(r.nested) > manyPairs {
		flat := make(map[string]string, m.Len())
		for k, v := range m.All() {
			flat[k] = text(v)
		}
		preceding = func(path string) string { return flat[path] }
	}
	for i := range r.nested {
		n := &r.nested[i]
		if n.tenant && r.tenant == "" {
			r.tenant = n.value
		}
		var isLabel bool
		switch {
		case n.label >= 0:
			if r.values[n.label] == "" {
				r.values[n.label] = n.value
			}
			isLabel = r.values[n.label] == n.value
		case n.tenant:
			continue
		default:
			flat := preceding(n.path)
			if flat == "" {
				t.set.put(n.name, n.value, false)
			}
			isLabel = flat == "" || flat == n.value
		}
		if !isLabel && metadata && n.value != "" && !n.tenant {
			dst = append(dst, push.LabelAdapter{Name: n.name, Value: n.value})
		}
	}
	return dst
}

// place returns where the attribute with that name goes.
func (t *Translator) place(s *side, attribute string) *place {
	if p, ok := s.places[attribute]; ok {
		return p
	}
	p := t.rules.placeOf(attribute, s.labels)
	if len(attribute) <= maxNameLength {
		if len(s.places) >= maxNames {
			clear(s.places)
		}
		s.places[strings.Clone(attribute)] = p
	}
	return p
}

// placeAt returns where the value at t.path goes.
func (t *Translator) placeAt(s *side) *place {
	if p, ok := s.places[string(t.path)]; ok {
		return p
	}
	return t.place(s, string(t.path))
}

// name returns the label name of an attribute, and remembers it.
func (t *Translator) name(raw string) string {
	if name, ok := t.names[raw]; ok {
		return name
	}
	name := lokiapi.LabelName(raw)
	if len(raw) <= maxNameLength {
		if len(t.names) >= maxNames {
			clear(t.names)
		}
		t.names[strings.Clone(raw)] = name
	}
	return name
}

// appendField appends a pair, unless the value is empty or the name is excluded.
func (t *Translator) appendField(dst []push.LabelAdapter, name, value string) []push.LabelAdapter {
	if value == "" || t.rules.excluded(name) {
		return dst
	}
	return append(dst, push.LabelAdapter{Name: name, Value: value})
}

// appendMetadata appends a value, or the values of a map with the names joined by
// underscores. depth is the number of maps around the value.
func (t *Translator) appendMetadata(dst []push.LabelAdapter, name string, v pcommon.Value, depth int) []push.LabelAdapter {
	if v.Type() == pcommon.ValueTypeMap && depth < maxDepth {
		for k, nested := range v.Map().All() {
			dst = t.appendMetadata(dst, t.name(name+"_"+k), nested, depth+1)
		}
		return dst
	}
	if value := text(v); value != "" {
		dst = append(dst, push.LabelAdapter{Name: name, Value: value})
	}
	return dst
}

// appendMissing appends the pairs whose names are not in dst[start:]: an attribute
// of a record takes precedence over one of its scope or resource.
func appendMissing(dst []push.LabelAdapter, start int, pairs []push.LabelAdapter) []push.LabelAdapter {
	own := dst[start:]
	if len(own) > manyPairs && len(pairs) > manyPairs {
		return appendMissingOfMany(dst, own, pairs)
	}
next:
	for _, p := range pairs {
		for i := range own {
			if own[i].Name == p.Name {
				continue next
			}
		}
		dst = append(dst, p)
	}
	return dst
}

// appendMissingOfMany is appendMissing in linear time.
func appendMissingOfMany(dst, own, pairs []push.LabelAdapter) []push.LabelAdapter {
	names := make(map[string]struct{}, len(own))
	for i := range own {
		names[own[i].Name] = struct{}{}
	}
	for _, p := range pairs {
		if _, has := names[p.Name]; !has {
			dst = append(dst, p)
		}
	}
	return dst
}
