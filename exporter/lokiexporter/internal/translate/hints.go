package translate

import (
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/lokiapi"
)

const (
	maxHintBytes  = 1 << 20 // size of the hints that are remembered
	maxTenantHint = 32      // names in a hint of the tenant
)

// hint has the attributes that a hint makes labels, in addition to those of the
// rules. A nil hint names none.
type hint struct {
	names  map[string]struct{}
	inside map[string]struct{} // maps in which the names may be
	// level says that the attribute level is a label, in contrib's mode.
	level bool
}

const contribLevelAttribute = "level"

func (h *hint) promotes(attribute string) bool {
	if h == nil || h.names == nil {
		return false
	}
	_, ok := h.names[attribute]
	return ok
}

func (h *hint) promotesAt(path []byte) bool {
	if h == nil || h.names == nil {
		return false
	}
	_, ok := h.names[string(path)]
	return ok
}

func (h *hint) hasInside(attribute string) bool {
	if h == nil || h.inside == nil {
		return false
	}
	_, ok := h.inside[attribute]
	return ok
}

func (h *hint) hasInsideAt(path []byte) bool {
	if h == nil || h.inside == nil {
		return false
	}
	_, ok := h.inside[string(path)]
	return ok
}

// consumes reports whether the attribute became the label level of contrib's mode.
func (h *hint) consumes(attribute string) bool {
	return h != nil && h.level && attribute == contribLevelAttribute
}

// add adds names, except those of labels that are dropped.
func (h *hint) add(names []string, rules *Rules) {
	for _, name := range names {
		if name == "" || rules.dropped[lokiapi.LabelName(name)] {
			continue
		}
		if h.names == nil {
			h.names, h.inside = map[string]struct{}{}, map[string]struct{}{}
		}
		h.names[name] = struct{}{}
		addParents(h.inside, name)
	}
}

// addParents adds the parents of a path: a and a.b for a.b.c.
func addParents(to map[string]struct{}, path string) {
	for i := range len(path) {
		if path[i] == '.' {
			to[path[:i]] = struct{}{}
		}
	}
}

// hintOf returns the hint in the attribute with that name, on the resource and on
// the record. It remembers hints, as most records have one of a few.
func (t *Translator) hintOf(hint string, on ...pcommon.Map) *hint {
	t.key = t.key[:0]
	for _, m := range on {
		if v, ok := m.Get(hint); ok {
			t.key = appendHint(append(t.key, ','), v)
		}
	}
	if len(t.key) == 0 {
		return nil
	}
	if h, ok := t.hints[string(t.key)]; ok {
		return h
	}
	h := newHint(string(t.key), t.rules)
	if t.hintBytes += len(t.key); t.hintBytes > maxHintBytes {
		clear(t.hints)
		t.hintBytes = len(t.key)
	}
	t.hints[string(t.key)] = h
	return h
}

func newHint(text string, rules *Rules) *hint {
	h := &hint{}
	h.add(splitHint(text), rules)
	return h
}

// appendHint appends the names in a hint, separated by commas.
func appendHint(dst []byte, v pcommon.Value) []byte {
	if v.Type() != pcommon.ValueTypeSlice {
		return append(dst, text(v)...)
	}
	for _, item := range v.Slice().All() {
		dst = append(append(dst, text(item)...), ',')
	}
	return dst
}

func splitHint(text string) []string {
	names := strings.Split(text, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// hintedTenant returns the value of the attribute that a hint of the resource, or
// else of the record, names.
func hintedTenant(record, resource pcommon.Map) string {
	for _, m := range []pcommon.Map{resource, record} {
		v, ok := m.Get(hintTenant)
		if !ok {
			continue
		}
		names := splitHint(string(appendHint(nil, v)))
		for _, name := range names[:min(len(names), maxTenantHint)] {
			if v, ok := find(m, name); ok {
				return text(v)
			}
		}
		return ""
	}
	return ""
}

func (t *Translator) hintedFormat(record, resource pcommon.Map) Format {
	for _, m := range []pcommon.Map{record, resource} {
		switch f := Format(get(m, hintFormat)); f {
		case Raw, JSON, Logfmt:
			return f
		}
	}
	return t.rules.Format
}

func get(m pcommon.Map, name string) string {
	if v, ok := m.Get(name); ok {
		return text(v)
	}
	return ""
}

// find returns the attribute with that name, or the value inside maps at the path
// a.b.
func find(m pcommon.Map, path string) (pcommon.Value, bool) {
	if v, ok := m.Get(path); ok {
		return v, true
	}
	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		if v, ok := m.Get(path[:i]); ok && v.Type() == pcommon.ValueTypeMap {
			if found, ok := find(v.Map(), path[i+1:]); ok {
				return found, true
			}
		}
	}
	return pcommon.Value{}, false
}
