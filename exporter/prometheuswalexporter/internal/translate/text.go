package translate

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/invar-otel/invar/internal/bounded/nesting"
)

var (
	errTooDeep = fmt.Errorf("an attribute is nested more than %d deep", nesting.MaxDepth)
	errUnnamed = errors.New("an attribute has no name")
)

// text is the value of an attribute as a label has it.
func text(v pcommon.Value) (string, error) {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return valid(v.Str()), nil
	case pcommon.ValueTypeMap, pcommon.ValueTypeSlice:
		if !nesting.IsWithin(v) {
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

// valid returns s with what is not UTF-8 replaced. A receiver refuses a whole
// request for it.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
