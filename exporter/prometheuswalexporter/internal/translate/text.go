package translate

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// maxDepth bounds how deep maps and slices in an attribute may be nested. A
// request of some megabytes can hold a million levels, and writing those as JSON
// takes more stack than the process has.
const maxDepth = 64

var (
	errTooDeep = errors.New("an attribute is nested more than 64 deep")
	errUnnamed = errors.New("an attribute has no name")
)

// text is the value of an attribute as a label has it.
func text(v pcommon.Value) (string, error) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return valid(v.Str()), nil
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		if !isWithin(v, maxDepth) {
			return "", errTooDeep
		}
		if s := v.AsString(); s != "" {
			return valid(s), nil
		}
		// JSON has no NaN and no Inf. Without a value, series that differ in
		// what is beside those would become one.
		return valid(fmt.Sprint(v.AsRaw())), nil
	}
	return valid(v.AsString()), nil
}

// isWithin reports whether v has at most depth levels of maps and slices.
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

// valid returns s with what is not UTF-8 replaced. A receiver refuses a whole
// request for it.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
