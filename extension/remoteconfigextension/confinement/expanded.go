package confinement

import (
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/invar-otel/invar/internal/config/yamltext"
)

// Canonical returns a resolved configuration in which every ${…} that expanded to
// a map or a list has that as its only reading. In conf, a text field would get
// the YAML source instead, and values below may be expanded twice. Only scalars,
// such as numbers, keep two readings. Canonical does not modify conf.
func Canonical(conf *confmap.Conf) *confmap.Conf {
	return confmap.NewFromStringMap(yamltext.Raw(conf))
}

// Readings returns a configuration for CheckResolved, with both readings of each
// expanded ${…}. Whatever conf decodes to is one of them.
func Readings(conf *confmap.Conf) map[string]any { return xconfmap.ToStringMapRaw(conf) }

// parsed returns the YAML value of an expanded ${…}, and other values unchanged.
func parsed(value any) any {
	for {
		expanded, is := value.(xconfmap.ExpandedValue)
		if !is {
			return value
		}
		value = expanded.Value
	}
}

// readings returns every value that a component may decode value from. An expanded
// ${…} has two: a text field gets the expanded text with its comments, any other
// field the YAML value.
func readings(value any) []any {
	expanded, is := value.(xconfmap.ExpandedValue)
	if !is {
		return []any{value}
	}
	return []any{parsed(expanded), expanded.Original}
}
