// Package nesting bounds how deep maps and lists in telemetry are nested.
//
// A request of a few megabytes can hold a million levels. pdata decodes it, but to
// write it as JSON or as Go values takes more stack than a goroutine can have,
// which ends the process. Code that turns a value into text has to check its depth
// first.
package nesting

import "go.opentelemetry.io/collector/pdata/pcommon"

// MaxDepth is the number of levels of maps and lists that a value may have.
const MaxDepth = 64

// TooDeep replaces values that are nested deeper.
const TooDeep = "[nested more than 64 deep]"

// IsWithin reports whether the value has at most MaxDepth levels.
func IsWithin(v pcommon.Value) bool { return isWithin(v, MaxDepth) }

// IsMapWithin reports whether each value of the map has at most MaxDepth levels.
func IsMapWithin(m pcommon.Map) bool {
	for _, v := range m.All() {
		switch v.Type() { // most values are neither
		case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
			if !isWithin(v, MaxDepth) {
				return false
			}
		}
	}
	return true
}

func isWithin(v pcommon.Value, depth int) bool {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		if depth == 0 {
			return false
		}
		for _, e := range v.Map().All() {
			if !isWithin(e, depth-1) {
				return false
			}
		}
	case pcommon.ValueTypeSlice:
		if depth == 0 {
			return false
		}
		for _, e := range v.Slice().All() {
			if !isWithin(e, depth-1) {
				return false
			}
		}
	}
	return true
}

// Text returns v.AsString(), or TooDeep if v is not within MaxDepth.
func Text(v pcommon.Value) string {
	if !IsWithin(v) {
		return TooDeep
	}
	return v.AsString()
}

// Copy copies a value. Values below MaxDepth levels become TooDeep.
func Copy(from, to pcommon.Value) { copyValue(from, to, MaxDepth) }

// CopyMap copies a map, each value as [Copy] does.
func CopyMap(from, to pcommon.Map) { copyMap(from, to, MaxDepth) }

func copyMap(from, to pcommon.Map, depth int) {
	to.EnsureCapacity(from.Len())
	for k, v := range from.All() {
		copyValue(v, to.PutEmpty(k), depth)
	}
}

func copyValue(from, to pcommon.Value, depth int) {
	switch from.Type() {
	case pcommon.ValueTypeMap:
		if depth == 0 {
			to.SetStr(TooDeep)
			return
		}
		copyMap(from.Map(), to.SetEmptyMap(), depth-1)
	case pcommon.ValueTypeSlice:
		if depth == 0 {
			to.SetStr(TooDeep)
			return
		}
		list := to.SetEmptySlice()
		list.EnsureCapacity(from.Slice().Len())
		for _, e := range from.Slice().All() {
			copyValue(e, list.AppendEmpty(), depth-1)
		}
	default:
		from.CopyTo(to)
	}
}
