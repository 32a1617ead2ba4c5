package yamltext

import (
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"
)

// Raw returns the map of a configuration for [Marshal] and [Text]. A scalar whose
// text is known is an [xconfmap.ExpandedValue]. A ${…} that expanded to a map, a
// list or a string is that value alone. Raw does not modify conf.
func Raw(conf *confmap.Conf) map[string]any {
	m, _ := raw(xconfmap.ToStringMapRaw(conf)).(map[string]any)
	return m
}

func raw(value any) any {
	switch v := value.(type) {
	case map[string]any:
		if v == nil {
			return v
		}
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[key] = raw(inner)
		}
		return out
	case []any:
		if v == nil {
			return v
		}
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = raw(inner)
		}
		return out
	case xconfmap.ExpandedValue:
		inner := v.Value
		for nested, is := inner.(xconfmap.ExpandedValue); is; nested, is = inner.(xconfmap.ExpandedValue) {
			inner = nested.Value
		}
		switch inner.(type) {
		case map[string]any, []any, map[any]any, string:
			return raw(inner)
		}
		return xconfmap.ExpandedValue{Value: inner, Original: v.Original}
	}
	return value
}
