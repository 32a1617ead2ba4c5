package fleet

import (
	"fmt"
	"strings"
	"time"
)

// Filter selects collectors.
type Filter struct {
	// Status is a status of the protocols in capitals, or online, offline,
	// pending (not up to date) or conflict; "" selects all collectors.
	Status string
	// Match are matchers, or parts of an id or name. All of them have to match.
	Match []string
	// After is the id after which the page begins, Limit how many collectors it may
	// have.
	After string
	Limit int
}

// predicate reports whether a collector is selected. The collector's entry must be up
// to date.
type predicate func(c *collector, now time.Time) bool

func (f *Filter) compile() (predicate, error) {
	var conditions matchers
	var parts []string
	for _, text := range f.Match {
		if !strings.ContainsAny(text, "=~") {
			parts = append(parts, strings.ToLower(text))
			continue
		}
		m, err := parseMatchers([]string{text})
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, m...)
	}
	hasStatus, err := statusPredicate(f.Status)
	if err != nil {
		return nil, err
	}
	return func(c *collector, now time.Time) bool {
		for _, part := range parts {
			if !strings.Contains(strings.ToLower(c.record.ID), part) && !strings.Contains(strings.ToLower(c.record.Name), part) {
				return false
			}
		}
		return hasStatus(c, now) && conditions.match(c)
	}, nil
}

func statusPredicate(status string) (predicate, error) {
	switch status {
	case "":
		return func(*collector, time.Time) bool { return true }, nil
	case "online":
		return func(c *collector, now time.Time) bool { return c.online(now) }, nil
	case "offline":
		return func(c *collector, now time.Time) bool { return !c.online(now) }, nil
	case "pending":
		return func(c *collector, now time.Time) bool { return c.online(now) && c.progress() == pending }, nil
	case "conflict":
		return func(c *collector, now time.Time) bool { return c.origins.conflict(now) }, nil
	case "APPLIED", "APPLYING", "FAILED", "UNSET":
		return func(c *collector, _ time.Time) bool { return c.record.Status.String() == status }, nil
	}
	return nil, fmt.Errorf("status: %q is not known; use APPLIED, APPLYING, FAILED, UNSET, online, offline, pending or conflict", status)
}
