package confinement

import (
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/xconfmap"

	"github.com/invar-otel/invar/internal/config/yamltext"
)

// Canonical returns a resolved configuration in which every ${…} that became a
// map or a list is that alone. As confmap resolves it, a field that holds a text
// would take the YAML that it came from, and what is below it may be expanded
// twice. What is left with two readings is a single value, such as a number. conf
// is only read.
func Canonical(conf *confmap.Conf) *confmap.Conf {
	return confmap.NewFromStringMap(yamltext.Raw(conf))
}

// Readings returns a configuration for CheckResolved, with both readings of each
// expanded ${…}. What conf decodes to is among them.
func Readings(conf *confmap.Conf) map[string]any { return xconfmap.ToStringMapRaw(conf) }

// parsed returns what YAML takes an expanded ${…} for, and other values as they
// are.
func parsed(value any) any {
	for {
		expanded, is := value.(xconfmap.ExpandedValue)
		if !is {
			return value
		}
		value = expanded.Value
	}
}

// readings returns all that a component may decode a value as. An expanded ${…}
// is two: a field that holds a text takes the text as it was expanded, comments
// and all, any other what YAML takes it for.
func readings(value any) []any {
	expanded, is := value.(xconfmap.ExpandedValue)
	if !is {
		return []any{value}
	}
	return []any{parsed(expanded), expanded.Original}
}
