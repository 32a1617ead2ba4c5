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

// text returns the value of an attribute as the value of a label.
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
		// JSON has no NaN and no Inf, so AsString returns nothing. Without this,
		// attributes that differ in other parts would become the same label.
		return valid(fmt.Sprint(v.AsRaw())), nil
	}
	return valid(v.AsString()), nil
}

// valid returns s with invalid UTF-8 replaced. Receivers refuse the whole request
// otherwise.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
