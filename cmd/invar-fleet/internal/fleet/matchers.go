package fleet

import (
	"errors"
	"fmt"

	"github.com/prometheus/alertmanager/matcher/parse"
	"github.com/prometheus/alertmanager/pkg/labels"
)

// matchers are conditions on the attributes of a collector. All of them have to
// hold. An empty list matches every collector.
type matchers []*labels.Matcher

// parseMatchers reads conditions like env="prod" and collector.os=~"linux|darwin".
// Names may have dots and may be quoted; regular expressions match the whole
// value. A missing attribute has the value "".
func parseMatchers(texts []string) (matchers, error) {
	var errs []error
	parsed := make(matchers, 0, len(texts))
	for i, text := range texts {
		m, err := parse.Matcher(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("matchers[%d]: %q is not a matcher: %w; write it like env=\"prod\" or collector.os=~\"linux|darwin\"", i, text, err))
			continue
		}
		parsed = append(parsed, m)
	}
	return parsed, errors.Join(errs...)
}

// match reports whether all conditions hold for the collector.
func (m matchers) match(c *collector) bool {
	for _, matcher := range m {
		if !matcher.Matches(c.attribute(matcher.Name)) {
			return false
		}
	}
	return true
}

func (m matchers) texts() []string {
	texts := make([]string, len(m))
	for i, matcher := range m {
		texts[i] = matcher.String()
	}
	return texts
}
