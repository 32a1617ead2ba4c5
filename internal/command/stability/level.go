package stability

import (
	"fmt"
	"strings"

	"go.opentelemetry.io/collector/component"
)

// Level is the lowest component stability a configuration may use. The zero
// value accepts everything. It implements pflag.Value; it is set once, while
// the command line is parsed, and only read afterwards.
type Level struct {
	min component.StabilityLevel
}

// names lists the levels a user can choose, lowest first.
var names = []string{"development", "alpha", "beta", "stable"}

var byName = map[string]component.StabilityLevel{
	"development": component.StabilityLevelDevelopment,
	"alpha":       component.StabilityLevelAlpha,
	"beta":        component.StabilityLevelBeta,
	"stable":      component.StabilityLevelStable,
}

// Set parses a level name.
func (l *Level) Set(name string) error {
	level, ok := byName[strings.ToLower(name)]
	if !ok {
		return fmt.Errorf("%q is not a stability level; use one of %s", name, strings.Join(names, ", "))
	}
	l.min = level
	return nil
}

// String returns the level's name, or "" if no level was chosen.
func (l *Level) String() string {
	if l == nil || l.min == component.StabilityLevelUndefined {
		return ""
	}
	return strings.ToLower(l.min.String())
}

// Type names the kind of value in usage texts.
func (*Level) Type() string { return "level" }

// accepts reports whether a component of the given stability may be used.
// Undefined means that the component does not support the signal at all,
// which is for the collector to report, not for this gate.
func (l *Level) accepts(s component.StabilityLevel) bool {
	return s == component.StabilityLevelUndefined || s >= l.min
}
