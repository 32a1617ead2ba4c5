package translate

import "go.opentelemetry.io/collector/pdata/pcommon"

// keeper selects the attributes of a side that a line has: those that are neither
// labels, hints nor the tenant.
type keeper struct {
	t    *Translator
	side *side
	hint *hint
}

// keep reports whether the attribute with that name, or the value at that path, is
// kept, and whether a map there may have values that are not.
func (k keeper) keep(path string) (keep, inside bool) {
	p := k.t.place(k.side, path)
	keep = (p.kind == toMetadata || p.kind == toNothing) && !k.hint.promotes(path) && !k.hint.consumes(path)
	return keep, p.inside || k.hint.hasInside(path)
}

// raw returns the attributes that are kept, as Go values.
func (k keeper) raw(attributes pcommon.Map) map[string]any { return k.rawInside("", attributes) }

func (k keeper) rawInside(path string, m pcommon.Map) map[string]any {
	out := make(map[string]any, m.Len())
	for name, v := range m.All() {
		keep, inside := k.keep(path + name)
		switch {
		case !keep:
		case inside && v.Type() == pcommon.ValueTypeMap:
			out[name] = k.rawInside(path+name+".", v.Map())
		default:
			out[name] = v.AsRaw()
		}
	}
	return out
}

// appendPairs appends the attributes that are kept as pairs for logfmt.
func (k keeper) appendPairs(pairs []any, prefix string, attributes pcommon.Map) []any {
	return k.appendInside(pairs, prefix, "", attributes)
}

func (k keeper) appendInside(pairs []any, prefix, path string, m pcommon.Map) []any {
	for name, v := range m.All() {
		keep, inside := k.keep(path + name)
		switch {
		case !keep:
		case inside && v.Type() == pcommon.ValueTypeMap:
			pairs = k.appendInside(pairs, prefix+name+"_", path+name+".", v.Map())
		default:
			pairs = appendPairs(pairs, prefix+name, v, 1)
		}
	}
	return pairs
}
